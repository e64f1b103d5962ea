"""The layout of what lies between float convolutions, as a part of a candidate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import StageError
from edgekd.graph.execution import executed, execution
from edgekd.graph.quantization.fp32 import Fp32
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.weights import Int8Weights
from edgekd.graph.runtime import run_onnx
from edgekd.records.model import Execution

from ..conftest import Digits


def test_nchw_keeps_the_runtime_from_blocks_of_channels_and_gives_the_same_answers(
    fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    made = make_candidate(Int8Weights(use="int8_weights", layout="nchw"), fp32, {}, tmp_path / "nchw.onnx")
    plain = make_candidate(Int8Weights(use="int8_weights"), fp32, {}, tmp_path / "plain.onnx")

    assert (tmp_path / "nchw.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()
    assert made.session == {**plain.session, "optimization.disable_specified_optimizers": "NchwcTransformer"}
    assert not made.execution.rearranges
    if not plain.execution.rearranges:
        pytest.skip("this processor has no kernels for blocks of channels")
    one, other = (
        run_onnx(tmp_path / f"{name}.onnx", digits.held_out, each.session)
        for name, each in {"nchw": made, "plain": plain}.items()
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_runtime_that_does_not_honour_it_is_refused(fp32: Path) -> None:
    # one that does not know the optimiser by this name says nothing and goes on
    unknown = execution(fp32, {"optimization.disable_specified_optimizers": "NoSuchTransformer"})
    assert unknown == execution(fp32)
    runs = Execution(operators={"Conv": 2, "ReorderOutput": 1}, float_operators={})
    with pytest.raises(StageError, match="though it is told not to"):
        Fp32(use="fp32", layout="nchw").check(runs)
    Fp32(use="fp32").check(runs)


def test_a_saved_graph_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_bytes(b"hello")
    for name in ("graph.onnx", "missing.onnx"):
        with pytest.raises(StageError, match="the graph that the runtime saved cannot be read"):
            executed(tmp_path / name)
