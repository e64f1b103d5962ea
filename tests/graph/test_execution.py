from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.execution import execution


def convolutions(path: Path, *, break_between: bool) -> None:
    """uint8-quantized convolutions with, or without, an operator in between that ONNX Runtime has in float only."""
    weights = np.ones((2, 2, 3, 3), np.int8)
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "zu"], ["q0"]),
        helper.make_node("DequantizeLinear", ["q0", "s", "zu"], ["d0"]),
        helper.make_node("DequantizeLinear", ["w", "s", "zi"], ["dw"]),
        helper.make_node("Conv", ["d0", "dw"], ["c1"]),
        helper.make_node("QuantizeLinear", ["c1", "s", "zu"], ["q1"]),
        helper.make_node("DequantizeLinear", ["q1", "s", "zu"], ["d1"]),
        *([helper.make_node("Erf", ["d1"], ["e1"])] if break_between else []),
        helper.make_node("QuantizeLinear", ["e1" if break_between else "d1", "s", "zu"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "s", "zu"], ["d2"]),
        helper.make_node("Conv", ["d2", "dw"], ["c2"]),
        helper.make_node("QuantizeLinear", ["c2", "s", "zu"], ["q3"]),
        helper.make_node("DequantizeLinear", ["q3", "s", "zu"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2, 4, 4])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(0.1, np.float32), "s"),
            numpy_helper.from_array(np.array(0, np.uint8), "zu"),
            numpy_helper.from_array(np.array(0, np.int8), "zi"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)


def test_a_chain_of_8_bit_operators_leaves_none_in_float(tmp_path: Path) -> None:
    convolutions(tmp_path / "m.onnx", break_between=False)
    runs = execution(tmp_path / "m.onnx")

    assert runs.float_operators == {}
    assert runs.operators["QLinearConv"] == 2


def test_an_operator_without_an_8_bit_kernel_is_counted_as_float(tmp_path: Path) -> None:
    convolutions(tmp_path / "m.onnx", break_between=True)

    assert execution(tmp_path / "m.onnx").float_operators == {"Erf": 1}


def test_every_operator_of_an_fp32_model_is_float(fp32: Path) -> None:
    runs = execution(fp32)

    assert runs.operators
    assert runs.float_operators == runs.operators


def test_an_entry_that_the_runtime_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    convolutions(tmp_path / "m.onnx", break_between=False)

    with pytest.raises(StageError, match=r"ONNX Runtime .* cannot load m\.onnx: .*key") as caught:
        execution(tmp_path / "m.onnx", {"k" * 2000: "1"})

    assert "\n" not in str(caught.value)


def test_session_configuration_changes_what_runs(tmp_path: Path) -> None:
    convolutions(tmp_path / "m.onnx", break_between=False)
    runs = execution(tmp_path / "m.onnx", {"session.disable_quant_qdq": "1"})

    assert "QLinearConv" not in runs.operators
    assert runs.float_operators


def test_what_the_runtime_cannot_load_is_told_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    convolutions(tmp_path / "m.onnx", break_between=True)
    model = onnx.load(tmp_path / "m.onnx")
    model.opset_import[0].version = 999
    onnx.save(model, tmp_path / "m.onnx")

    with pytest.raises(StageError, match=r"ONNX Runtime .* cannot load m\.onnx") as caught:
        execution(tmp_path / "m.onnx")

    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
