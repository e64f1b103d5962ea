from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.execution import execution
from edgekd.graph.inspect import describe
from edgekd.graph.quantization.portability import cautions, needs_newer
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.records.candidate import Caution
from edgekd.records.model import Execution

from ..conftest import Digits
from .conftest import convolution_model, save_graph

SCHEMES = (Int8Qdq(use="int8_qdq"), Int8QOperator(use="int8_qoperator"))
IN_8_BITS = Execution(operators={"QLinearConv": 1}, float_operators={})


def names(found: tuple[Caution, ...]) -> list[str]:
    return [each.name for each in found]


def product(
    weights: NDArray[np.int8], bias: list[int], *, scale: float = 0.1, w_scale: float = 0.1, form: str = "qdq"
) -> onnx.ModelProto:
    """A matrix product (1, K) · (K, N) + bias of uint8 activations whose zero point is 0."""
    tensors: dict[str, NDArray[Any]] = {
        "w": weights,
        "b": np.array(bias, np.int32),
        "s": np.array(scale, np.float32),
        "sw": np.array(w_scale, np.float32),
        "sb": np.array(scale * w_scale, np.float32),
        "z": np.array(0, np.uint8),
        "zw": np.array(0, np.int8),
    }
    if form == "qdq":
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
            helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["dw"]),
            helper.make_node("DequantizeLinear", ["b", "sb"], ["db"]),
            helper.make_node("Gemm", ["d", "dw", "db"], ["logits"]),
        ]
    else:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("QGemm", ["q", "s", "z", "w", "sw", "zw", "b"], ["logits"], domain="com.microsoft"),
        ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, len(weights)])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, weights.shape[1]])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)], ir_version=8
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sound_file_has_no_caution_but_that_of_its_8_bit_weights(
    scheme: StaticInt8, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    made = make_candidate(scheme, fp32, digits.train, tmp_path / "int8.onnx")
    assert names(made.cautions) == ["saturation"]
    assert "reduce_range" in made.cautions[0].hint

    seven = scheme.model_copy(update={"reduce_range": True})
    assert make_candidate(seven, fp32, digits.train, tmp_path / "int8.onnx").cautions == ()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bias_for_which_the_quantizer_coarsened_the_weights_is_told(scheme: StaticInt8, tmp_path: Path) -> None:
    # a channel that a folded batch norm all but switched off: all of its weights are rounded to 0
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32) * 0.1
    weights[1] *= 1e-8
    convolution_model(tmp_path / "m.onnx", weights, np.array([0, 5, 1, -1], np.float32))
    feeds = {"image": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}
    made = make_candidate(scheme, tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")

    assert names(made.cautions) == ["saturation", "bias"]
    assert "1 output channel " in made.cautions[1].what


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
def test_sums_beyond_int32_are_told_from_the_first_product_that_overflows(form: str) -> None:
    # 2 products of at most 255 · 10 in each channel
    weights = np.array([[10, 1], [-10, 1]], np.int8)
    fits = product(weights, [2**31 - 1 - 2 * 255 * 10, 0], form=form)
    assert "overflow" not in names(cautions(fits, IN_8_BITS))

    over = product(weights, [2**31 - 2 * 255 * 10, 0], form=form)
    (found,) = [each for each in cautions(over, IN_8_BITS) if each.name == "overflow"]
    assert "1 output channel " in found.what


@pytest.mark.parametrize("form", ["qdq", "qoperator"])
@pytest.mark.parametrize(
    ("scale", "w_scale", "told"),
    [
        (0.1, 0.1, False),
        (1e-40, 0.1, True),  # a denormal
        (0.0, 0.1, True),
        (1e-20, 1e-20, True),  # their product is one
    ],
)
def test_scales_below_the_normal_numbers_are_told(form: str, scale: float, w_scale: float, told: bool) -> None:
    model = product(np.ones((2, 2), np.int8), [0, 0], scale=scale, w_scale=w_scale, form=form)

    assert ("scale" in names(cautions(model, IN_8_BITS))) == told


def with_erf(path: Path) -> Path:
    """Two matrix products with an operator between them that has no 8-bit kernel."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["a"]),
        helper.make_node("Erf", ["a"], ["e"]),
        helper.make_node("MatMul", ["e", "w"], ["logits"]),
    ]
    tensors = {name: rng.normal(size=(8, 8)).astype(np.float32) for name in "vw"}
    return save_graph(path, nodes, tensors, {"x": ("batch", 8)}, ("batch", 8))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_operator_without_a_kernel_between_8_bit_ones_is_told(scheme: StaticInt8, tmp_path: Path) -> None:
    feeds = {"x": np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)}
    made = make_candidate(scheme, with_erf(tmp_path / "m.onnx"), feeds, tmp_path / "int8.onnx")
    (found,) = [each for each in made.cautions if each.name == "kernel"]

    assert made.execution.left_between == {"Erf": 1}
    assert made.execution.unfused == {}
    assert "1 Erf" in found.what


def transposed(path: Path) -> tuple[Path, dict[str, NDArray[np.float32]]]:
    """A convolution, and a transposed one, which the runtime has in float only though the quantizer takes it."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["image", "v"], ["c"], pads=[1] * 4),
        helper.make_node("ConvTranspose", ["c", "w"], ["t"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["t"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    tensors = {
        "v": rng.normal(size=(6, 3, 3, 3)).astype(np.float32),
        "w": rng.normal(size=(6, 4, 2, 2)).astype(np.float32),
    }
    save_graph(path, nodes, tensors, {"image": ("batch", 3, 8, 8)}, ("batch", 4))
    return path, {"image": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}


def test_a_group_that_the_runtime_does_not_fuse_is_told_with_the_share_that_is_8_bit(tmp_path: Path) -> None:
    fp32, feeds = transposed(tmp_path / "m.onnx")
    scheme = Int8Qdq(use="int8_qdq", per_channel=False)
    made = make_candidate(scheme, fp32, feeds, tmp_path / "int8.onnx")
    eight, floats = 64 * 6 * 27, 64 * 6 * 4 * 4
    (found,) = [each for each in made.cautions if each.name == "unfused"]

    assert made.execution.unfused == {"ConvTranspose": 1}
    assert made.execution.macs == {"int8": eight, "float32": floats}
    assert made.execution.arithmetic == f"int8 62.8 % of {eight + floats:,} MACs, float32 the rest"
    assert eight / (eight + floats) == pytest.approx(0.628, abs=5e-4)
    assert "1 ConvTranspose" in found.what


def test_a_file_that_multiplies_nothing_in_8_bits_is_refused_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("ConvTranspose", ["image", "w"], ["t"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["t"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    weights = {"w": rng.normal(size=(3, 4, 2, 2)).astype(np.float32)}
    save_graph(tmp_path / "m.onnx", nodes, weights, {"image": ("batch", 3, 8, 8)}, ("batch", 4))
    feeds = {"image": rng.normal(size=(64, 3, 8, 8)).astype(np.float32)}

    scheme = Int8Qdq(use="int8_qdq", per_channel=False)
    with pytest.raises(StageError, match=r"int8_qdq quantized nothing: all 3,072 multiply-accumulates are .* float"):
        make_candidate(scheme, tmp_path / "m.onnx", feeds, tmp_path / "int8.onnx")


def test_the_same_graph_with_fusion_switched_off_is_named_for_what_it_is(
    fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    make_candidate(SCHEMES[0], fp32, digits.train, tmp_path / "int8.onnx")
    runs = execution(tmp_path / "int8.onnx", {"session.disable_quant_qdq": "1"})

    assert runs.int8_share == 0
    with pytest.raises(StageError, match="quantized nothing"):
        SCHEMES[0].check(runs)


@pytest.mark.parametrize(("oldest", "told"), [("1.14", True), ("1.15", False), ("1.15.1", False), ("1.21", False)])
def test_a_file_that_needs_a_newer_runtime_than_the_target_declares_is_told(
    oldest: str, told: bool, fp32: Path
) -> None:
    facts = describe(fp32)  # operator set 18, IR version 8

    assert names(needs_newer(facts, oldest)) == ["runtime"] * told
    assert names(needs_newer(facts.model_copy(update={"runtime": None}), oldest)) == ["runtime"]
