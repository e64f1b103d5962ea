"""The words about what distillation gained, of evaluations that were made up."""

from __future__ import annotations

import pytest

from edgekd.records.accuracy import Accuracy
from edgekd.records.evaluation import Evaluation, Interval, ModelEvaluation, Paired
from edgekd.report.gains import gains

COUNTED = ModelEvaluation(
    accuracy=Accuracy(correct=90, total=100, per_class_correct=(40, 50), per_class_total=(45, 55)),
    accuracy_interval=(0.84, 0.96),
    agreement=95,
    agreement_interval=(0.89, 0.98),
)


def paired(drop: float, interval: Interval, model: str = "fp32", reference: str = "control.fp32") -> Paired:
    return Paired(
        model=model, reference=reference, both_right=90, only_reference_right=3, only_model_right=1, both_wrong=6,
        drop=drop, drop_interval=interval, p_value=0.6,
    )  # fmt: skip


def evaluation(*pairs: Paired, models: tuple[str, ...] = ("fp32", "control.fp32"), shipped: str = "fp32") -> Evaluation:
    return Evaluation(
        target="board", samples=100, reference="teacher", shipped=shipped,
        models=dict.fromkeys(("teacher", *models), COUNTED), pairs=pairs,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("drop", "interval", "verdict"),
    [
        (-0.03, (-0.06, -0.004), "better"),
        (-0.03, (-0.06, 0.0), None),
        (0.0, (0.0, 0.0), None),
        (0.02, (0.0, 0.04), None),
        (0.02, (0.001, 0.04), "worse"),
    ],
)
def test_a_pair_is_judged_only_by_an_interval_without_zero(
    drop: float, interval: Interval, verdict: str | None
) -> None:
    assert paired(drop, interval).verdict == verdict


@pytest.mark.parametrize(
    ("drop", "interval", "said"),
    [
        (-0.03, (-0.06, -0.004), "gained +3.00 points of accuracy [+0.40, +6.00] in fp32"),
        (
            0.0,
            (0.0, 0.02),
            "gained +0.00 points of accuracy [-2.00, +0.00] in fp32: nothing that the test samples can show",
        ),
        (
            0.00001,
            (-0.00002, 0.00004),
            "gained +0.00 points of accuracy [+0.00, +0.00] in fp32: nothing that the test samples can show",
        ),
        (
            0.02,
            (0.01, 0.03),
            "gained -2.00 points of accuracy [-3.00, -1.00] in fp32: the untaught student is better",
        ),
    ],
)
def test_a_gain_is_told_with_its_interval_and_nothing_has_no_minus(drop: float, interval: Interval, said: str) -> None:
    assert list(gains(evaluation(paired(drop, interval)))) == [f"distillation {said}"]


def test_each_file_is_told_against_its_own_counterpart() -> None:
    pairs = (
        paired(0.1, (0.05, 0.15), reference="teacher"),
        paired(-0.03, (-0.06, -0.004)),
        paired(-0.02, (-0.04, -0.001), "int8_qdq", "control.int8_qdq"),
    )
    models = ("fp32", "int8_qdq", "control.fp32", "control.int8_qdq")
    lines = list(gains(evaluation(*pairs, models=models, shipped="int8_qdq")))

    assert [line.split("] in ")[1] for line in lines] == ["fp32", "int8_qdq"]


def test_a_counterpart_that_could_not_be_made_is_told() -> None:
    models = ("fp32", "int8_qdq", "control.fp32")
    told, missing = gains(evaluation(paired(-0.03, (-0.06, -0.004)), models=models, shipped="int8_qdq"))

    assert told.endswith("in fp32")
    assert missing == "what distillation gained in int8_qdq is not known: the untaught student has no such file"


def test_a_run_without_a_control_has_nothing_to_tell() -> None:
    pair = paired(0.1, (0.05, 0.15), "int8_qdq", "teacher")

    assert list(gains(evaluation(pair, models=("fp32", "int8_qdq"), shipped="int8_qdq"))) == []
