from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import FedRows, fed_rows
from edgekd.errors import StageError
from edgekd.graph.export import export_onnx
from edgekd.graph.quantization import observe
from edgekd.graph.quantization.calibrate import Calibration, Method, activation_ranges
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.graph.quantization.static import OPERATORS
from edgekd.graph.runtime import run_onnx

from ..conftest import Digits, contract_of
from .conftest import Halves, agreement, convolution_model, save_graph, stored

METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy", "mse")


class Watched:
    """Rows that say which of them were asked for."""

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self._rows = rows
        self.asked: list[int] = []
        self.shape, self.dtype = rows.shape, rows.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        found = self._rows[rows]
        self.asked.append(len(found))
        return found

    def __array__(self) -> NDArray[Any]:
        raise AssertionError("all rows at once")


def range_of(model: Path, feeds: FedRows, method: Method, name: str, *options: Any) -> tuple[float, float]:
    lowest, highest = activation_ranges(model, feeds, Calibration(method, *options), OPERATORS)[name].range_value
    return float(lowest), float(highest)


def images(number: int, shape: tuple[int, ...] = (1, 8, 8)) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(number, *shape)).astype(np.float32)


def identity_model(path: Path, batch: int | str = "batch") -> Path:
    """image -> a convolution by 1 called `c`, a ReLU `r`, its transpose (C, N, H, W) `t`, pooled as logits."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0, 2, 3]),
        helper.make_node("Transpose", ["t"], ["back"], perm=[1, 0, 2, 3]),
        helper.make_node("GlobalAveragePool", ["back"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    tensors = {"w": np.ones((1, 1, 1, 1), np.float32)}
    return save_graph(path, nodes, tensors, {"image": (batch, 1, 8, 8)}, (batch, 1))


@pytest.mark.parametrize("method", METHODS)
def test_no_more_samples_are_in_memory_than_asked_for_and_all_are_seen(
    method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Watched(images(37))
    # one sample is 64 numbers, and so are each of `image`, `r`, `t`, `back`; pooled it is one more, twice
    monkeypatch.setattr(observe, "HELD_BYTES", 16 * 4 * (4 * 64 + 2))
    activation_ranges(identity_model(tmp_path / "m.onnx"), {"image": rows}, Calibration(method), OPERATORS)

    passes = 1 if method == "minmax" else 2
    assert rows.asked == [1, 16, 16, 5] * passes


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("samples", [3, 37, 40])
def test_a_fixed_batch_gives_the_ranges_of_exactly_the_same_samples(
    method: Method, samples: int, tmp_path: Path
) -> None:
    feeds = {"image": images(samples)}
    fixed, free = identity_model(tmp_path / "fixed.onnx", 8), identity_model(tmp_path / "free.onnx")

    for name in ("image", "c", "r", "logits"):
        assert range_of(fixed, feeds, method, name) == range_of(free, feeds, method, name)


def test_an_activation_without_samples_along_its_first_axis_keeps_its_extremes_under_a_fixed_batch(
    tmp_path: Path,
) -> None:
    feeds = {"image": images(13)}

    found = range_of(identity_model(tmp_path / "m.onnx", 8), feeds, "minmax", "t")
    assert found == (0, feeds["image"].max())


def test_the_range_is_what_was_seen_whatever_batch_it_was_in(fp32: Path, digits: Digits) -> None:
    few = digits.train["image"][:40]

    assert range_of(fp32, {"image": few}, "minmax", "image") == (few.min(), few.max())


@pytest.mark.parametrize("method", METHODS)
def test_what_only_a_relu_reads_has_the_range_of_what_the_relu_gives(method: Method, tmp_path: Path) -> None:
    model = identity_model(tmp_path / "m.onnx")
    feeds = {"image": images(50)}

    low, high = range_of(model, feeds, method, "c")
    assert (low, high) == range_of(model, feeds, method, "r")
    assert low == 0
    assert 2.5 < high <= feeds["image"].max()


@pytest.mark.parametrize("batch", ["dynamic", 8])
def test_every_input_gets_its_own_range_from_the_same_samples(batch: Literal["dynamic"] | int, tmp_path: Path) -> None:
    contract = contract_of(upper=(1, 4, 8), lower=(32,))
    export_onnx(Halves(), contract, tmp_path / "m.onnx", ExportOptions(batch=batch))
    rng = np.random.default_rng(0)
    lower, upper = rng.uniform(3, 4, (40, 32)), rng.uniform(-2, -1, (40, 1, 4, 8))
    feeds = {"lower": lower.astype(np.float32), "upper": upper.astype(np.float32)}  # not in the order of the model

    for name, array in feeds.items():
        assert range_of(tmp_path / "m.onnx", feeds, "minmax", name) == (array.min(), array.max())


def test_the_share_of_a_percentile_decides_what_it_leaves_out(tmp_path: Path) -> None:
    convolution_model(tmp_path / "m.onnx", np.ones((1, 1, 3, 3), np.float32), np.zeros(1, np.float32))
    samples = images(4000)
    samples[1000, 0, 4, 4] = 100

    def highest(method: Method, *percent: float) -> float:
        return range_of(tmp_path / "m.onnx", {"image": samples}, method, "image", *percent)[1]

    width = (100 - float(samples.min())) / 8000
    assert highest("minmax") == 100
    assert 3 < highest("percentile") < 10
    assert highest("percentile", 99) == pytest.approx(np.quantile(samples, 0.995), abs=width)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_activation_that_is_not_finite_is_told(value: float, tmp_path: Path) -> None:
    samples = images(20)
    samples[7, 0, 0, 0] = value

    with pytest.raises(StageError, match=r"'image' is not finite"):
        activation_ranges(identity_model(tmp_path / "m.onnx"), {"image": samples}, Calibration("minmax"), OPERATORS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_after_a_relu_all_256_levels_lie_from_0_upwards(
    method: Method, activations: Literal["uint8", "int8"], tmp_path: Path
) -> None:
    convolution_model(tmp_path / "m.onnx", np.full((2, 1, 3, 3), 0.1, np.float32), np.zeros(2, np.float32))
    scheme = Int8Qdq(use="int8_qdq", calibrate=method, activations=activations)
    make_candidate(scheme, tmp_path / "m.onnx", {"image": images(64)}, tmp_path / "int8.onnx")

    constants = stored(tmp_path / "int8.onnx")
    (convolution,) = [node for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.op_type == "Conv"]
    (after,) = [node for node in onnx.load(tmp_path / "int8.onnx").graph.node if node.input[0] == convolution.output[0]]
    assert after.op_type == "QuantizeLinear"
    assert int(constants[after.input[2]]) == (0 if activations == "uint8" else -128)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_answers_from_samples_that_are_fed_in_parts(
    method: Method, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    feeds = fed_rows(digits.contract, digits.images[:300])
    scheme = Int8Qdq(use="int8_qdq", calibrate=method, reduce_range=True)
    made = make_candidate(scheme, fp32, feeds, tmp_path / "parts.onnx")
    make_candidate(scheme, fp32, {"image": digits.inputs[:300]}, tmp_path / "whole.onnx")

    assert made.calibration_samples == 300
    assert (tmp_path / "parts.onnx").read_bytes() == (tmp_path / "whole.onnx").read_bytes()
    answers = run_onnx(fp32, digits.held_out), run_onnx(tmp_path / "parts.onnx", digits.held_out)
    assert agreement(*answers) >= 0.97


def test_a_percentile_of_another_method_is_refused() -> None:
    with pytest.raises(ValueError, match="calibrate: percentile"):
        Int8Qdq(use="int8_qdq", calibrate="mse", percentile=99)
    assert Int8Qdq(use="int8_qdq", calibrate="percentile", percentile=99).percentile == 99
