"""What is said of a search for the student's shape."""

from __future__ import annotations

import io

from rich.console import Console

from edgekd.harness.scoring import wilson
from edgekd.records.pricing import PredictionRecord, PricingRecord
from edgekd.records.study import Attempt, Entrant, Finalist, Rung, ShippingFile, StudyRecord
from edgekd.report.study import found, print_study


def file(candidate: str, correct: int, p50_s: float | None, unfit: str = "", otherwise: str = "") -> ShippingFile:
    return ShippingFile(
        candidate=candidate,
        size_bytes=8_730,
        correct=correct,
        samples=5_000,
        accuracy_interval=wilson(correct, 5_000),
        p50_s=p50_s,
        p50_interval_s=None if p50_s is None else (0.99 * p50_s, 1.01 * p50_s),
        instructions=None if p50_s is not None else 123_456,
        unfit=unfit,
        otherwise=otherwise,
    )


def attempt(shape: int, epochs: int, correct: int, failed: str = "") -> Attempt:
    return Attempt(
        shape=shape, epochs=epochs, validation_correct=correct, validation_total=5_000, seconds=9, failed=failed
    )


STUDY = StudyRecord(
    budget={"p50_ms": 0.0065, "parameters": 9000},
    priced=300,
    within=120,
    entrants=(
        Entrant(shape={"use": "conv", "width": 16}, parameters=7_290, macs=100_000),
        Entrant(shape={"use": "conv", "width": 8}, parameters=2_100, macs=50_000),
        Entrant(shape={"use": "mlp", "width": 8}, parameters=6_000, macs=6_000),
    ),
    rungs=(
        Rung(epochs=1, attempts=(attempt(0, 1, 4_000), attempt(1, 1, 3_500), attempt(2, 1, 0, "the loss became nan"))),
        Rung(epochs=3, attempts=(attempt(0, 3, 4_960),)),
    ),
    finalists=(
        Finalist(
            shape=1,
            files={
                "here": file("int8_qdq", 4_800, 9e-6, "int8_qdq takes 9.00 µs, the budget is 6.50 µs"),
                "board": file("int8_qdq", 4_800, None),
            },
            unfit="here: int8_qdq takes 9.00 µs, the budget is 6.50 µs",
        ),
        Finalist(
            shape=0,
            files={
                "here": file("int8_weights", 4_960, 6.5e-6, otherwise="fp32"),
                "board": file("int8_weights_nchw", 4_955, None),
            },
            front=True,
        ),
    ),
    taken=0,
    why="the most accurate",
    foretold=0.5,
    pricing_seconds=120,
    seconds=1_200,
)
PRICING = PricingRecord(
    shapes=(),
    predictions=(
        PredictionRecord(target="here", candidate="fp32", measured=240, median=0.051, p90=0.12, coefficients={}),
        PredictionRecord(target="here", candidate="int8_qdq", measured=1, median=None, p90=None, coefficients={}),
    ),
    seconds=120,
)


def printed(study: StudyRecord) -> str:
    stream = io.StringIO()
    print_study(study, PRICING, Console(file=stream, width=80))
    return stream.getvalue()


def test_where_nothing_is_known_of_the_cost_the_dash_has_its_reason() -> None:
    """Of an emulated target whose instructions nothing counts."""
    uncounted = tuple(
        each.model_copy(
            update={
                "files": {**each.files, "board": each.files["board"].model_copy(update={"instructions": None})},
            }
        )
        for each in STUDY.finalists
    )
    text = printed(STUDY.model_copy(update={"finalists": uncounted}))
    assert "instructions on board: nothing counted them, and times mean nothing there" in text
    assert "nothing counted them" not in printed(STUDY)


def test_everything_that_decided_is_said_on_80_characters() -> None:
    lines = printed(STUDY).splitlines()
    assert lines[:8] == [
        "fit · 120 of 300 shapes measured are within {p50_ms: 0.0065, parameters: 9000} · "
        "2.0 of 20.0 minutes for measuring",
        "after 1 epoch: 3 shapes, 70.00 to 80.00 % of validation right",
        "  {use: mlp, width: 8} – the loss became nan",
        "after 3 epochs: 1 shape, 99.20 % of validation right",
        "rank correlation of capacity and accuracy after 1 epoch: 0.50",
        "cost model, fp32 on here: wrong by 5.1 % in the median, 12.0 % at most in nine of ten of 240 shapes that it "
        "had not seen",
        "1: {use: conv, width: 16}, 7,290 parameters",
        "2: {use: conv, width: 8}, 2,100 parameters",
    ]
    (row,) = (line for line in lines if line.startswith(" 1 *") and "µs" in line)
    assert " ".join(row.split()) == "1 * int8_weights 8,730 99.20 [98.91, 99.41] 6.50 [6.43, 6.56] µs"
    assert any("123,456" in line for line in lines)
    assert "{use: conv, width: 8} – here: int8_qdq takes 9.00 µs, the budget is 6.50 µs" in lines
    assert "{use: conv, width: 16}: edgekd run would ship fp32 on here" in "\n".join(lines)
    assert lines[-1] == "taken: {use: conv, width: 16}: the most accurate"


def test_when_nothing_is_taken_it_says_so() -> None:
    none = STUDY.model_copy(update={"taken": None, "why": "no finalist is within the budget"})
    assert printed(none).splitlines()[-1] == "nothing is taken: no finalist is within the budget"


def test_what_is_written_above_the_model_has_budget_trials_and_figures() -> None:
    assert found(STUDY) == (
        "120 of 300 shapes are within {p50_ms: 0.0065, parameters: 9000}; trained, by epochs: 1: 3, 3: 1",
        "the most accurate; 7,290 parameters",
        "int8_weights on here: 99.20 [98.91, 99.41] % of 5,000 validation samples, 8,730 bytes, 6.50 [6.43, 6.56] µs",
        "int8_weights_nchw on board: 99.10 [98.80, 99.33] % of 5,000 validation samples, 8,730 bytes, "
        "123,456 instructions",
    )
