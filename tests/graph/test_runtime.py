"""Models that load, and do not run on what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekd.errors import StageError
from edgekd.graph.quantization.observe import Observer
from edgekd.graph.quantization.taps import flowing
from edgekd.graph.runtime import run_onnx
from tests.harness.conftest import save_model

FEEDS = {"x": np.ones((3, 4), np.float32)}


def reshaped(path: Path, shape: Sequence[int]) -> Path:
    """Gives its input in a shape of its own, whatever the batch."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["r"]), helper.make_node("Relu", ["r"], ["y"])]
    return save_model(path, nodes, {"s": np.array(shape)})


def test_a_model_that_runs_on_one_sample_only_is_told(tmp_path: Path) -> None:
    path = reshaped(tmp_path / "m.onnx", (1, 4))
    with pytest.raises(StageError, match=r"cannot run m\.onnx: "):
        run_onnx(path, FEEDS)
    with pytest.raises(StageError, match="cannot run it: "):
        list(flowing(onnx.load(path), ["r"], FEEDS))
    with pytest.raises(StageError, match=r"cannot run m\.onnx: "):
        list(Observer(path, ["Relu"]).batches(FEEDS))


def test_a_model_that_gives_other_than_an_answer_a_sample_is_told(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"m\.onnx gives 6 answers for 3 samples"):
        run_onnx(reshaped(tmp_path / "m.onnx", (-1, 2)), FEEDS)
