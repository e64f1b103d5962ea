from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekd.records.accuracy import Accuracy
from edgekd.records.environment import Environment, Machine
from edgekd.records.latency import Comparison, Estimate, LatencyRecord, ModelLatency, Percentile, Speed
from edgekd.release.bundle import BundleInputs, build_bundle
from edgekd.release.card import Story

from .conftest import evaluation, evidence

MACHINE = Machine(
    cpu="A processor", machine="x86_64", isa=(), cores=2, memory_bytes=10**9, system="Linux", python="3.11", numpy="2",
    onnxruntime="1.31", providers=("CPUExecutionProvider",), governor="", turbo="", smt=False, virtual="",
    cpu_quota="", affinity=(0,),
)  # fmt: skip
ENVIRONMENT = Environment(
    machine=MACHINE, settings=None, seconds=20, busy_elsewhere=0, steal=0, involuntary_switches_per_s=0,
    frequency_hz=None, temperature_c=None, throttled=0, load_average=0.5,
)  # fmt: skip
COUNT = Estimate(value=1.0, interval=None, count=3)


def latency() -> LatencyRecord:
    model = ModelLatency(
        name="int8_weights", sha256="0" * 64, size_bytes=1, loads=12, processes=3, inferences=5000, samples=4000,
        warmup=900, settling=100, load_spread=0.01, throughput_per_s=COUNT, session_load_s=COUNT,
        first_inference_s=COUNT, cold_start_s=None, peak_rss_bytes=None, runtime_rss_bytes=None,
        percentiles=(Percentile(share=0.9, value_s=41.25e-6, interval_s=(40e-6, 43.5e-6), method="loads"),),
    )  # fmt: skip
    comparison = Comparison(
        model="int8_weights",
        baseline="teacher",
        ratio=0.1,
        interval=(0.08, 0.125),
        margin=0.03,
        outcome=Speed.FASTER,
        pairs=12,
    )
    return LatencyRecord(
        models=(model,), comparisons=(comparison,), confidence=0.99, level=0.01, looks=1, seconds=20, seed=0,
        overhead_s=1e-6, decided=True, would_decide=None, environment=ENVIRONMENT, disturbances=(),
    )  # fmt: skip


def card_of(inputs: BundleInputs, folder: Path) -> str:
    build_bundle(inputs, folder / "b")
    return (folder / "b" / "MODEL_CARD.md").read_text()


def test_the_card_says_what_was_measured_with_its_uncertainty(two_models: BundleInputs, tmp_path: Path) -> None:
    timed = latency().model_copy(update={"lengths": {"ids": 29}})
    board = evidence("int8_weights").model_copy(update={"latency": timed})
    card = card_of(replace(two_models, targets={"local": evidence(), "board": board}), tmp_path)

    for said in (
        "# pets",
        "Verdict of the release gate: **pass**",
        "| input | `image`: float32 NCHW, 1 × 4 × 3 |",
        "mean 0.25, std 0.5",
        "| output | `logits`: one number a class: cat, dog\\|hound |",
        "| `fp32.onnx` | none | 235 | 24 | ONNX Runtime 1.15 or newer (opset 18, IR 8) | – | local |",
        "(opset 18, IR 8) | `session.disable_quant_qdq=1` | board |",
        "- 100 test images.",
        "Inputs were as long as 90 % of the validation samples need: 29 of `ids`.",
        "- Distilled.",
        "- Only cats and dogs.",
        "- The accuracy holds for images like the test images;",
        "## On board: pass",
        "`int8_weights.onnx` ships here. CPUExecutionProvider; threads: 1; optimisation: all; idle workers sleep; "
        "session options: `session.use_env_allocators=0`, `session.disable_quant_qdq=1`.",
        "| accuracy_drop | 0.05 | 0.02 | pass | 0.02 of at most 0.05 |",
        "Accuracy on 100 test images, 95 % intervals:",
        "| model | right | accuracy | interval | agrees with teacher |",
        "| teacher | 93 of 100 | 93.00 % | 84.00 % to 96.00 % | 100.00 % |",
        "| int8_weights (ships) | 91 of 100 | 91.00 % | 84.00 % to 96.00 % | 95.00 % |",
        "| control.int8_weights | 88 of 100 | 88.00 % |",
        "| int8_weights | teacher | 2.00 | -1.00 to 5.00 | 3 | 1 |",
        "- int8_weights: distillation gained 3.00 points over the same student without a teacher (0.40 to 6.00).",
        "| int8_weights | p90 | 41.2 µs | 40.0 µs to 43.5 µs | 4,000 |",
        "- int8_weights is 10.00 times as fast as teacher (8.00 to 12.50)",
        "`predict.cpp` does the same in C++ on ONNX Runtime's C API, `--target NAME` included;",
    ):
        assert said in card


@pytest.mark.parametrize(
    ("drop", "interval", "said"),
    [
        (-0.03, (-0.06, -0.004), "fp32: distillation gained 3.00 points"),
        (-0.03, (-0.06, 0.0), "fp32: distillation gained nothing that can be told from chance: 3.00 points"),
        (0.0, (-0.02, 0.02), "fp32: distillation gained nothing that can be told from chance: 0.00 points"),
        (0.02, (0.01, 0.03), "fp32: distillation did harm: -2.00 points"),
    ],
)
def test_the_card_says_plainly_what_distillation_gained(
    drop: float, interval: tuple[float, float], said: str, inputs: BundleInputs, tmp_path: Path
) -> None:
    told = evaluation()
    teacher, control = told.pairs
    control = control.model_copy(update={"drop": drop, "drop_interval": interval})
    told = told.model_copy(update={"pairs": (teacher, control)})
    target = evidence().model_copy(update={"accuracy": told})

    assert said in card_of(replace(inputs, targets={"board": target}), tmp_path)


def test_every_setting_that_was_measured_under_is_told(inputs: BundleInputs, tmp_path: Path) -> None:
    target = evidence(
        threads=3, inter_op_threads=2, affinity=(1, 2), nice=-5, memory_limit_mb=64.5, optimisation="layout",
        spinning=True, options={},
    )  # fmt: skip

    assert (
        "ships here. CPUExecutionProvider; threads: 3; operators side by side: 2; optimisation: layout; cores: 1, 2; "
        "priority of the process: -5; memory limit: 64.5 MB."
    ) in card_of(replace(inputs, targets={"board": target}), tmp_path)


def test_the_card_of_rows_names_no_images(vectors: BundleInputs, tmp_path: Path) -> None:
    story = Story(data=(), training=(), limits=())
    card = card_of(replace(vectors, story=story), tmp_path)

    assert "image" not in card
    assert "Accuracy on 100 test rows" in card
    assert "(feature − mean) / std" in card


def test_a_class_name_cannot_break_a_table(inputs: BundleInputs, tmp_path: Path) -> None:
    lines = card_of(inputs, tmp_path).splitlines()

    rows = [line for line in lines if line.startswith("| dog")]
    assert rows == ["| dog\\|hound | 51 of 55 | 50 of 55 | 48 of 55 |"] * 2  # one a target


def test_of_very_many_classes_the_worst_are_shown(inputs: BundleInputs, tmp_path: Path) -> None:
    classes = tuple(f"class {number}" for number in range(30))
    right = tuple(range(30))
    accuracy = Accuracy(correct=sum(right), total=900, per_class_correct=right, per_class_total=(30,) * 30)
    flipped = accuracy.model_copy(update={"per_class_correct": right[::-1]})
    told = evaluation()
    models = {
        # the worst are those of the model that ships, wherever it stands
        "fp32": told.models["fp32"].model_copy(update={"accuracy": accuracy}),
        "control.fp32": told.models["fp32"].model_copy(update={"accuracy": flipped}),
    }
    target = evidence().model_copy(update={"accuracy": told.model_copy(update={"models": models})})
    contract = inputs.contract.model_copy(update={"classes": classes})
    card = card_of(replace(inputs, contract=contract, targets={"board": target}), tmp_path)

    assert "the 20 worst of 30" in card
    assert "| class 0 | 0 of 30 | 29 of 30 |" in card
    assert "| class 19 | 19 of 30 | 10 of 30 |" in card
    assert "class 20" not in card


def test_a_target_without_measurements_has_a_card_too(inputs: BundleInputs, tmp_path: Path) -> None:
    bare = evidence().model_copy(update={"accuracy": None, "checks": ()})
    card = card_of(replace(inputs, targets={"board": bare}), tmp_path)

    assert "## On board: pass" in card
    assert "Accuracy on" not in card
