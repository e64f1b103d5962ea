"""The collapse of a depthwise stack whose channels were scaled by powers, and what mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from edgekd.data.modalities.base import Feeds
from edgekd.errors import StageError
from edgekd.graph.quantization import repair, workshop
from edgekd.graph.quantization.adaround import adaptively_rounded
from edgekd.graph.quantization.bias_correction import bias_corrected, channel_means
from edgekd.graph.quantization.calibrate import Calibration
from edgekd.graph.quantization.layers import layers_of, node_of
from edgekd.graph.quantization.overflow import sums_overflow_here
from edgekd.graph.quantization.quantize import make_candidate, make_repaired
from edgekd.graph.quantization.repair import Judge
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.graph.quantization.static import calibrated, prepared, quantized
from edgekd.graph.runtime import run_onnx

from .conftest import save_graph

NAMES = ("stem", "depthwise", "pointwise", "head")
SCHEMES: dict[str, StaticInt8] = {
    "qdq": Int8Qdq(use="int8_qdq", per_channel=False),
    "qoperator": Int8QOperator(use="int8_qoperator", per_channel=False),
}


def stack(path: Path, octaves: float) -> Path:
    """A depthwise-separable network; its depthwise channels are multiplied by powers of 2, and what reads them is
    divided by these: in float the same function, but for rounding."""
    rng = np.random.default_rng(0)
    powers = 2 ** rng.permutation(np.linspace(-octaves / 2, octaves / 2, 16))

    def drawn(*shape: int) -> NDArray[np.float32]:
        return np.asarray(rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])), np.float32)

    tensors = {
        "stem.weight": drawn(16, 1, 3, 3),
        "stem.bias": drawn(16),
        "depthwise.weight": drawn(16, 1, 3, 3) * powers.reshape(-1, 1, 1, 1),
        "depthwise.bias": 0.1 * drawn(16) * powers,
        "pointwise.weight": drawn(24, 16, 1, 1) / powers.reshape(1, -1, 1, 1),
        "pointwise.bias": 0.1 * drawn(24),
        "head.weight": drawn(6, 24),
        "head.bias": drawn(6),
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem.weight", "stem.bias"], ["a"], pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "depthwise.weight", "depthwise.bias"], ["c"], pads=[1] * 4, group=16),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "pointwise.weight", "pointwise.bias"], ["e"]),
        helper.make_node("Relu", ["e"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "head.weight", "head.bias"], ["logits"], transB=1),
    ]
    floats = {name: array.astype(np.float32) for name, array in tensors.items()}
    return save_graph(path, nodes, floats, {"image": ("batch", 1, 8, 8)}, ("batch", 6))


def images(samples: int, seed: int) -> Feeds:
    """Smooth ones, each brighter or darker than the others."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(samples, 1, 4, 4)) * rng.uniform(0.3, 3, size=(samples, 1, 1, 1))
    return {"image": np.repeat(np.repeat(coarse, 2, axis=2), 2, axis=3).astype(np.float32)}


CALIBRATION, HELD_OUT = images(128, 1), images(600, 2)


def judge_of(fp32: Path, max_accuracy_drop: float) -> Judge:
    """What the fp32 file answers counts as right."""
    return Judge(HELD_OUT, run_onnx(fp32, HELD_OUT).argmax(axis=1), max_accuracy_drop)


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stack(tmp_path_factory.mktemp("stack") / "m.onnx", 12)


@pytest.mark.parametrize("name", SCHEMES)
def test_channels_scaled_by_powers_collapse_in_8_bits_and_equalisation_mends_it(
    name: str, collapsed: Path, tmp_path: Path
) -> None:
    even = stack(tmp_path / "even.onnx", 0)
    np.testing.assert_allclose(run_onnx(collapsed, HELD_OUT), run_onnx(even, HELD_OUT), atol=1e-4)

    made, record = make_repaired(
        SCHEMES[name], collapsed, CALIBRATION, tmp_path / "m.onnx", NAMES, judge_of(collapsed, 0.03)
    )

    accuracies = {each.steps: each.accuracy for each in record.attempts}
    assert accuracies[()] is not None
    assert accuracies[()] < 0.9
    assert record.kept
    assert record.accuracy >= 0.97
    assert "equalisation" in record.steps
    assert made.execution.float_operators == {}, "nothing was left in float"
    as_asked = make_candidate(SCHEMES[name], collapsed, CALIBRATION, tmp_path / "asked.onnx", NAMES)
    assert made.facts.size_bytes <= as_asked.facts.size_bytes, "the file carries nothing of it"


def test_a_file_within_the_limit_is_the_one_that_was_asked_for_and_nothing_is_tried(
    collapsed: Path, tmp_path: Path
) -> None:
    scheme = SCHEMES["qdq"]
    _, record = make_repaired(scheme, collapsed, CALIBRATION, tmp_path / "m.onnx", NAMES, judge_of(collapsed, 1.0))
    make_candidate(scheme, collapsed, CALIBRATION, tmp_path / "asked.onnx", NAMES)

    assert [each.steps for each in record.attempts] == [()]
    assert record.steps == ()
    assert (tmp_path / "m.onnx").read_bytes() == (tmp_path / "asked.onnx").read_bytes()


def test_where_no_step_is_enough_all_are_tried_the_best_is_taken_and_it_is_said(
    collapsed: Path, tmp_path: Path
) -> None:
    judge = judge_of(collapsed, 0.0)
    impossible = replace(judge, max_accuracy_drop=-1.0)  # below what any configuration may ask for
    _, record = make_repaired(SCHEMES["qdq"], collapsed, CALIBRATION, tmp_path / "a.onnx", NAMES, impossible)
    make_repaired(SCHEMES["qdq"], collapsed, CALIBRATION, tmp_path / "b.onnx", NAMES, impossible)

    assert not record.kept
    tried = {step for each in record.attempts for step in each.steps}
    assert {"bias correction", "equalisation", "AdaRound"} <= tried
    assert any(step.startswith("in float: ") for step in tried)
    assert any(step.startswith("calibration by ") for step in tried)
    assert record.accuracy == max(each.accuracy or 0 for each in record.attempts)
    assert judge.accuracy(tmp_path / "a.onnx") == record.accuracy
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_step_that_fails_is_reported_and_the_next_one_is_tried(
    collapsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StageError("no such luck")

    monkeypatch.setattr(workshop, "bias_corrected", fail)
    _, record = make_repaired(
        SCHEMES["qdq"], collapsed, CALIBRATION, tmp_path / "m.onnx", NAMES, judge_of(collapsed, 0.03)
    )
    assert any(each.failed == "no such luck" and each.accuracy is None for each in record.attempts)
    assert record.kept


def test_where_sums_overflow_7_bit_weights_are_tried_first(
    collapsed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "sums_overflow_here", lambda: True)
    _, record = make_repaired(
        SCHEMES["qdq"], collapsed, CALIBRATION, tmp_path / "m.onnx", NAMES, judge_of(collapsed, 0.03)
    )
    assert record.attempts[1].steps == ("7-bit weights",)


def test_sums_overflow_where_an_x86_processor_has_no_8_bit_dot_product() -> None:
    told = Path("/proc/cpuinfo")
    flags = told.read_text() if told.is_file() else ""
    if "sse4" not in flags or {"avx512_vnni", "avx_vnni", "amx_int8"} & set(flags.split()):
        assert not sums_overflow_here()
    else:
        assert sums_overflow_here()


def test_corrected_biases_bring_the_mean_of_each_channel_back(tmp_path: Path) -> None:
    numbers = SCHEMES["qdq"].numbers
    model = prepared(stack(tmp_path / "m.onnx", 6), "x", NAMES)  # with 12 octaves a bias is rounded too coarsely
    ranges = calibrated(model, CALIBRATION, Calibration("minmax"), "x")
    corrected = bias_corrected(model, ranges, numbers, (), CALIBRATION)

    def means_in_8_bits(graph: onnx.ModelProto) -> list[NDArray[np.float64]]:
        in_8_bits = quantized(graph, ranges, numbers)
        tensors = [node_of(in_8_bits, layer).output[0] for layer in layers_of(graph)]
        return channel_means(in_8_bits, tensors, CALIBRATION)

    wanted = channel_means(model, [layer.output for layer in layers_of(model)], CALIBRATION)
    before, after = means_in_8_bits(model), means_in_8_bits(corrected)
    off = [float(np.abs(mean - aim).max()) for mean, aim in zip(before, wanted, strict=True)]
    still = [float(np.abs(mean - aim).max()) for mean, aim in zip(after, wanted, strict=True)]
    assert max(still) < 0.2 * max(off)
    assert still[-1] < 0.1 * off[-1]


def test_chosen_rounding_is_nearer_to_the_float_network_than_rounding_to_the_nearest(tmp_path: Path) -> None:
    even = stack(tmp_path / "m.onnx", 6)
    numbers = replace(SCHEMES["qdq"].numbers, reduce_range=True)
    model = prepared(even, "x", NAMES)
    ranges = calibrated(model, CALIBRATION, Calibration("minmax"), "x")
    rounded = adaptively_rounded(model, ranges, numbers, (), CALIBRATION)
    assert rounded is not None

    def error(graph: onnx.ModelProto) -> float:
        onnx.save(quantized(graph, ranges, numbers), tmp_path / "q.onnx")
        return float(np.mean((run_onnx(tmp_path / "q.onnx", HELD_OUT) - run_onnx(even, HELD_OUT)) ** 2))

    assert error(rounded) < 0.7 * error(model)


def test_layers_that_the_user_leaves_in_float_stay_so_in_every_file_that_is_tried(
    collapsed: Path, tmp_path: Path
) -> None:
    scheme = Int8Qdq.model_validate(
        {"use": "int8_qdq", "per_channel": False, "rules": [{"match": "stem", "keep": "float"}]}
    )
    made, record = make_repaired(scheme, collapsed, CALIBRATION, tmp_path / "m.onnx", NAMES, judge_of(collapsed, 0.03))
    assert len(record.attempts) > 1
    assert record.kept
    assert made.execution.float_operators["Conv"] == 1
