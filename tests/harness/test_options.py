"""Session options: the one table, the model's own over the target's, and what a session makes of them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from edgekd.agent import options
from edgekd.agent.session import load
from edgekd.records.runtime import RuntimeSettings
from tests.harness.conftest import save_model

FOLDS = {"session.disable_quant_qdq": "1"}
"""Lets the runtime fold constants behind DequantizeLinear while it loads."""


def runtime(**settings: object) -> dict[str, object]:
    return RuntimeSettings.model_validate(settings).model_dump(mode="json")


def model(path: Path, session: dict[str, str]) -> dict[str, object]:
    return {"name": "m", "path": str(path), "session": session}


def dequantized(path: Path) -> Path:
    """y = x @ w with int8 weights behind DequantizeLinear."""
    weights = np.random.default_rng(0).integers(-127, 128, (4, 4), dtype=np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    return save_model(path, nodes, {"q": weights, "scale": np.array(0.01, np.float32)})


def entry(session: onnxruntime.InferenceSession, key: str) -> str:
    return str(session.get_session_options().get_session_config_entry(key))


def test_the_models_own_options_go_over_those_of_the_target(tmp_path: Path) -> None:
    path = dequantized(tmp_path / "m.onnx")
    settings = runtime(options={"session.disable_quant_qdq": "0", "session.disable_prepacking": "1"})
    session = load(model(path, FOLDS), settings)
    assert entry(session, "session.disable_quant_qdq") == "1"
    assert entry(session, "session.disable_prepacking") == "1"
    assert entry(load(model(path, {}), settings), "session.disable_quant_qdq") == "0"


def test_options_reach_the_graph_that_runs(tmp_path: Path) -> None:
    """With the option the weights fold into a constant; without it the product takes them as the integers they are."""
    path = dequantized(tmp_path / "m.onnx")
    found = {}
    for name, session in (("folded", FOLDS), ("plain", {})):
        made = options.session_options(runtime(), session)
        made.optimized_model_filepath = str(tmp_path / f"{name}.onnx")
        onnxruntime.InferenceSession(path, made, providers=["CPUExecutionProvider"])
        found[name] = [node.op_type for node in onnx.load(tmp_path / f"{name}.onnx").graph.node]
    assert found["folded"] == ["MatMul"]
    assert found["plain"] != found["folded"]


@pytest.mark.parametrize("level", options.OPTIMISATION)
def test_every_level_of_the_settings_has_its_place_in_the_table(level: str) -> None:
    made = options.session_options(runtime(optimisation=level, threads=3), {})
    assert made.graph_optimization_level.name == options.OPTIMISATION[level]
    assert made.intra_op_num_threads == 3


def test_the_file_runs_alone_as_a_bundle_carries_it(tmp_path: Path) -> None:
    source = Path(options.__file__).read_text()
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(ast.parse(source, feature_version=(3, 9)))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"__future__", "typing", "onnxruntime"}
    (tmp_path / "session.py").write_text(source)
    program = (
        f"import session; made = session.session_options({runtime(threads=2)!r}, {FOLDS!r}); "
        "print(made.intra_op_num_threads, made.get_session_config_entry('session.disable_quant_qdq'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "2 1\n"
