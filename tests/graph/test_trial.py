"""Models that end the process in which they run, or never end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgekd.errors import ConfigError
from edgekd.graph import trial
from edgekd.graph.trial import try_out
from tests.harness.conftest import save_model


def deadly(path: Path) -> Path:
    """Divides the smallest whole number by -1: SIGFPE on x86."""
    nodes = [
        helper.make_node("Div", ["smallest", "minus"], ["d"]),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    return save_model(path, nodes, {"smallest": np.array([-(2**63)]), "minus": np.array([-1])})


def endless(path: Path) -> Path:
    values = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("s", 1, None))
    ]
    nodes = [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Identity", ["s"], ["so"])]
    outputs = [
        helper.make_tensor_value_info("co", TensorProto.BOOL, []),
        helper.make_tensor_value_info("so", TensorProto.FLOAT, None),
    ]
    body = helper.make_graph(nodes, "b", values, outputs)
    constants = {"trips": np.array(2**62), "go": np.array(True)}
    return save_model(path, [helper.make_node("Loop", ["trips", "go", "x"], ["y"], body=body)], constants)


def test_a_model_that_ends_the_process_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"m\.onnx: it ends the process of ONNX Runtime .*: signal 8 \(SIGFPE\)"):
        try_out(deadly(tmp_path / "m.onnx"))


def test_a_model_that_never_ends_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LONGEST_S", 8.0)
    with pytest.raises(ConfigError, match=r"m\.onnx: ONNX Runtime does not end with it within 8 s"):
        try_out(endless(tmp_path / "m.onnx"), {"x": np.ones((2, 4), np.float32)})


def test_what_the_runtime_runs_or_refuses_passes(tmp_path: Path) -> None:
    try_out(save_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])]))
    (tmp_path / "n.onnx").write_bytes(b"none")
    try_out(tmp_path / "n.onnx")
