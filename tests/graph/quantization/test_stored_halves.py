"""float16 constants: which are stored so, what they compute, and that they fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from onnx import helper

from edgekd.errors import StageError
from edgekd.graph.quantization.fp16 import Fp16Weights
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.stored_halves import OVERHEAD_BYTES, halve_weights, halved
from edgekd.graph.runtime import run_onnx
from edgekd.graph.slim import slim

from .conftest import Trained, save_graph, stored
from .test_weights import normal, run_at

SCHEME = Fp16Weights(use="fp16_weights")


def test_a_file_is_half_as_large_and_computes_what_its_float16_weights_say(trained: Trained, tmp_path: Path) -> None:
    made = make_candidate(SCHEME, trained.fp32, {}, tmp_path / "half.onnx")
    model = onnx.load(trained.fp32)
    names = {node.output[0] for node in onnx.load(tmp_path / "half.onnx").graph.node if node.op_type == "Cast"}
    assert names
    rounded = onnx.load(trained.fp32)
    for tensor in rounded.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
    onnx.save(rounded, tmp_path / "rounded.onnx")

    given = run_onnx(tmp_path / "half.onnx", trained.held_out, made.session)
    assert made.session == {}
    assert made.facts.size_bytes < 0.6 * len(model.SerializeToString())
    np.testing.assert_allclose(given, run_onnx(tmp_path / "rounded.onnx", trained.held_out), atol=1e-2)
    assert "Cast" not in made.execution.operators
    assert made.execution.in_float


def test_without_optimisation_they_do_not_fold(trained: Trained, tmp_path: Path) -> None:
    # a target may ask for none: the file still computes the same there, but converts in every inference
    make_candidate(SCHEME, trained.fp32, {}, tmp_path / "half.onnx")
    folded, not_folded = (
        run_at(tmp_path / "half.onnx", trained.held_out, level, {}) for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL")
    )
    np.testing.assert_allclose(folded, not_folded, atol=1e-4)


@settings(max_examples=200)
@given(values=arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)), weights=st.booleans())
def test_what_is_halved_loses_no_digits_that_count(values: NDArray[np.float32], weights: bool) -> None:
    half = halved(values, 0 if weights else None)
    worst = 0.0
    for row in values:
        for value in row:
            beyond = abs(float(value)) >= 65520  # from there on it rounds to infinity
            size = max(abs(float(each)) for each in row) if weights else abs(float(value))
            lost = 0.0 if beyond else abs(float(np.float16(value)) - float(value))
            worst = max(worst, np.inf if beyond else lost / size if size else 0.0)
    assert (half is not None) == (worst <= 2**-11)
    if half is not None:
        np.testing.assert_array_equal(half, values.astype(np.float16))


@pytest.mark.parametrize("value", [65520.0, -1e9, float(np.float32(1e-7)), np.inf, np.nan])
def test_a_constant_beyond_the_range_or_too_small_for_its_digits_stays_float32(value: float, tmp_path: Path) -> None:
    shift = np.full(40, value, np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "b"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {"w": normal(20, 40), "b": shift}, {"x": ("batch", 20)}, ("batch", 40))
    make_candidate(SCHEME, tmp_path / "m.onnx", {}, tmp_path / "half.onnx")

    kept = [array for array in stored(tmp_path / "half.onnx").values() if array.dtype == np.float32]
    assert [each.shape for each in kept] == [(40,)]
    np.testing.assert_array_equal(kept[0], shift)


def test_small_weights_beside_large_ones_of_their_channel_are_no_obstacle_and_a_small_channel_is() -> None:
    weights = np.ones((2, 30), np.float32)
    weights[:, 1] = 1e-9
    assert halved(weights, 0) is not None
    weights[1] = 1e-9
    assert halved(weights, 0) is None


@pytest.mark.parametrize("size", range(8, 24))
def test_a_file_never_grows_and_what_would_not_shrink_is_refused(size: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["logits"])]
    save_graph(tmp_path / "m.onnx", nodes, {"b": normal(size)}, {"x": ("batch", size)}, ("batch", size))
    model = onnx.load(tmp_path / "m.onnx")
    slim(model)
    if 2 * size <= OVERHEAD_BYTES:
        with pytest.raises(StageError, match="no constants that float16 holds in fewer bytes"):
            halve_weights(tmp_path / "m.onnx")
    else:
        assert len(halve_weights(tmp_path / "m.onnx")) < model.ByteSize()
