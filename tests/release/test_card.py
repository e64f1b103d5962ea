from __future__ import annotations

from dataclasses import replace

from edgekd.records.accuracy import Accuracy
from edgekd.records.environment import Environment, Machine
from edgekd.records.latency import Comparison, Estimate, LatencyRecord, ModelLatency, Percentile, Speed
from edgekd.release.bundle import build_bundle

from .conftest import evidence

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
        name="int8", sha256="0" * 64, size_bytes=1, loads=12, processes=3, inferences=5000, samples=4000, warmup=900,
        settling=100, load_spread=0.01, throughput_per_s=COUNT, session_load_s=COUNT, first_inference_s=COUNT,
        cold_start_s=None, peak_rss_bytes=None, runtime_rss_bytes=None,
        percentiles=(Percentile(share=0.9, value_s=41.25e-6, interval_s=(40e-6, 43.5e-6), method="loads"),),
    )  # fmt: skip
    comparison = Comparison(
        model="int8", baseline="teacher", ratio=0.1, interval=(0.08, 0.125), margin=0.03, outcome=Speed.FASTER, pairs=12
    )
    return LatencyRecord(
        models=(model,), comparisons=(comparison,), confidence=0.99, level=0.01, looks=1, seconds=20, seed=0,
        overhead_s=1e-6, decided=True, would_decide=None, environment=ENVIRONMENT, disturbances=(),
    )  # fmt: skip


def test_the_card_says_what_was_measured_with_its_uncertainty(inputs, tmp_path):
    target = evidence().model_copy(update={"latency": latency()})
    build_bundle(replace(inputs, targets={"board": target}), tmp_path / "b")
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()

    for said in (
        "# pets",
        "Verdict of the release gate: **pass**",
        "| parameters | 24 |",
        "ONNX Runtime 1.15 or newer (opset 18, IR 8)",
        "mean 0.25, std 0.5",
        "- 100 test images.",
        "- Distilled.",
        "- Only cats and dogs.",
        "## On board: pass",
        "| max_accuracy_drop | 0.05 | 0.02 | pass | 0.02 of at most 0.05 |",
        "| int8 | 91 of 100 | 91.00 % | 84.00 % to 96.00 % | 95.00 % |",
        "| int8 | p90 | 41.2 µs | 40.0 µs to 43.5 µs | 4,000 |",
        "- int8 is 10.00 times as fast as teacher (8.00 to 12.50)",
    ):
        assert said in card


def test_a_class_name_cannot_break_a_table(inputs, tmp_path):
    build_bundle(inputs, tmp_path / "b")
    lines = (tmp_path / "b" / "MODEL_CARD.md").read_text().splitlines()

    rows = [line for line in lines if line.startswith("| dog")]
    assert rows == ["| dog\\|hound | 50 of 55 |"] * 2  # one a target


def test_of_very_many_classes_the_worst_are_shown(inputs, tmp_path):
    classes = tuple(f"class {number}" for number in range(30))
    target = evidence()
    evaluation = target.accuracy.models["int8"]
    right = tuple(range(30))
    accuracy = Accuracy(correct=sum(right), total=900, per_class_correct=right, per_class_total=(30,) * 30)
    models = {"int8": evaluation.model_copy(update={"accuracy": accuracy})}
    target = target.model_copy(update={"accuracy": target.accuracy.model_copy(update={"models": models})})
    contract = inputs.contract.model_copy(update={"classes": classes})
    build_bundle(replace(inputs, contract=contract, targets={"board": target}), tmp_path / "b")
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()

    assert "the 20 worst of 30" in card
    assert "| class 0 | 0 of 30 |" in card
    assert "| class 19 | 19 of 30 |" in card
    assert "class 20" not in card


def test_a_target_without_measurements_has_a_card_too(inputs, tmp_path):
    bare = evidence().model_copy(update={"accuracy": None, "checks": ()})
    build_bundle(replace(inputs, targets={"board": bare}), tmp_path / "b")
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()

    assert "## On board: pass" in card
    assert "Accuracy on" not in card
