from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.graph.slim import slim

from .conftest import Digits


def wordy() -> onnx.ModelProto:
    """logits = image * 2 + 2 twice over, with everything that tools leave behind."""
    two = np.full(3, 2, np.float32)
    nodes = [
        helper.make_node("Mul", ["image", "/layer/weight"], ["/layer/product"], name="/layer/Mul", doc_string="here"),
        helper.make_node("Add", ["/layer/product", "/layer/bias"], ["/layer/sum"], name="/layer/Add"),
        helper.make_node("Flatten", ["/layer/sum"], ["logits"], name="/Flatten", axis=1),
    ]
    nodes[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File secret.py")
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3], doc_string="an image")],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(two, "/layer/weight"),
            numpy_helper.from_array(two, "/layer/bias"),
            numpy_helper.from_array(np.zeros(1000, np.float32), "nobody.reads.this"),
        ],
        value_info=[helper.make_tensor_value_info("/layer/product", TensorProto.FLOAT, ["batch", 3])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, producer_name="a tool", doc_string="a model")
    helper.set_model_props(model, {"author": "someone"})
    return model


def test_a_slim_model_computes_the_same() -> None:
    model = wordy()
    images = np.arange(6, dtype=np.float32).reshape(2, 3)
    slim(model)
    onnx.checker.check_model(model, full_check=True)

    given = cast("list[NDArray[np.float32]]", ReferenceEvaluator(model).run(None, {"image": images}))
    np.testing.assert_array_equal(given[0], images * 2 + 2)


def test_what_a_device_does_not_need_is_gone() -> None:
    model = wordy()
    slim(model)
    content = model.SerializeToString()

    for word in (b"secret", b"tool", b"someone", b"/layer", b"an image", b"a model", b"microsoft", b"nobody", b"axis"):
        assert word not in content
    assert len(model.graph.initializer) == 1
    assert not model.graph.value_info


def test_models_that_differ_in_names_and_notes_alone_become_the_same_bytes() -> None:
    one, other = wordy(), wordy()
    for old, new in (("/layer/weight", "w"), ("/layer/sum", "0")):
        for node in other.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]
        for tensor in other.graph.initializer:
            tensor.name = new if tensor.name == old else tensor.name
    other.doc_string = "another"
    slim(one)
    slim(other)

    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_slimming_twice_changes_nothing_more() -> None:
    model = wordy()
    slim(model)
    once = model.SerializeToString(deterministic=True)
    slim(model)

    assert model.SerializeToString(deterministic=True) == once


def test_equal_numbers_of_different_types_or_shapes_stay_apart() -> None:
    model = wordy()
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(np.full((1, 3), 2, np.float32), "/layer/bias"))
    slim(model)

    assert sorted(tuple(tensor.dims) for tensor in model.graph.initializer) == [(1, 3), (3,)]


@pytest.mark.parametrize("take", [True, False])
def test_graphs_inside_control_flow_keep_reading_the_outer_tensors(take: bool) -> None:
    branches: dict[str, Any] = {
        name: helper.make_graph(
            [helper.make_node(operator, ["/outer/product", "/layer/bias"], [f"/{name}/out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"/{name}/out", TensorProto.FLOAT, ["batch", 3])],
        )
        for name, operator in (("then_branch", "Add"), ("else_branch", "Sub"))
    }
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "/layer/weight"], ["/outer/product"]),
            helper.make_node("If", ["which"], ["logits"], **branches),
        ],
        "outer",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [
            numpy_helper.from_array(np.full(3, 2, np.float32), "/layer/weight"),
            numpy_helper.from_array(np.full(3, 2, np.float32), "/layer/bias"),
            numpy_helper.from_array(np.array(take), "which"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    slim(model)
    onnx.checker.check_model(model, full_check=True)

    images = np.ones((1, 3), np.float32)
    assert b"/" not in model.SerializeToString()
    given = cast("list[NDArray[np.float32]]", ReferenceEvaluator(model).run(None, {"image": images}))
    np.testing.assert_array_equal(given[0], images * 4 if take else images * 0)


def small_convolution(strides: tuple[int, int], pads: tuple[int, ...], kernel: int = 3) -> onnx.ModelProto:
    """A convolution that states everything, a pooling that does, and the sum as the logits."""
    weights = np.random.default_rng(0).normal(size=(4, 2, kernel, kernel)).astype(np.float32)
    convolution = helper.make_node(
        "Conv", ["image", "w"], ["c"], kernel_shape=[kernel, kernel], strides=strides, dilations=[1, 1], pads=pads
    )
    pooling = helper.make_node("MaxPool", ["c"], ["logits"], kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
    graph = helper.make_graph(
        [convolution, pooling],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 2, 9, 9])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4, None, None])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    ("strides", "pads", "left"),
    [
        ((1, 1), (0, 0, 0, 0), []),
        ((2, 2), (1, 1, 1, 1), ["pads", "strides"]),
        ((1, 2), (0, 1, 0, 1), ["pads", "strides"]),
    ],
)
def test_what_a_convolution_does_anyway_is_not_stated(
    strides: tuple[int, int], pads: tuple[int, ...], left: list[str]
) -> None:
    model = small_convolution(strides, pads)
    images = np.random.default_rng(1).normal(size=(2, 2, 9, 9)).astype(np.float32)
    expected = run_bytes(model.SerializeToString(), images)
    slim(model)
    onnx.checker.check_model(model, full_check=True)

    convolution, pooling = model.graph.node
    assert [each.name for each in convolution.attribute] == left
    assert [each.name for each in pooling.attribute] == ["kernel_shape", "strides"]  # nothing else tells a pooling's
    np.testing.assert_array_equal(run_bytes(model.SerializeToString(), images), expected)


def run_bytes(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    answer: NDArray[np.float32] = session.run(None, {"image": images})[0]
    return answer


@pytest.mark.parametrize("scheme", [Int8Qdq(use="int8_qdq"), Int8QOperator(use="int8_qoperator")])
def test_no_vector_of_zeros_is_stored_for_the_weights_of_convolutions_and_all_of_it_still_runs_in_8_bits(
    scheme: StaticInt8, fp32: Path, digits: Digits, tmp_path: Path
) -> None:
    runs = make_candidate(scheme, fp32, digits.train, tmp_path / "int8.onnx").execution
    assert runs.float_operators == {}
    assert (runs.operators["QLinearConv"], runs.operators["QGemm"]) == (3, 1)

    graph = onnx.load(tmp_path / "int8.onnx").graph
    zeros = {each.name for each in graph.initializer if each.dims and not numpy_helper.to_array(each).any()}
    of_the_product = {name for node in graph.node if node.op_type == "QGemm" for name in node.input}
    into_the_product = {name for node in graph.node if node.op_type == "Gemm" for name in node.input}
    of_the_product |= {
        name
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] in into_the_product
        for name in node.input
    }
    assert zeros <= of_the_product


def test_a_zero_point_that_is_not_zero_stays() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "xs": np.array(0.1, np.float32), "xz": np.array(128, np.uint8), "w": np.full((2, 1, 1, 1), 9, np.int8),
        "ws": np.array([0.1, 0.2], np.float32), "wz": np.array([0, 3], np.int8),
    }  # fmt: skip
    names = ["q", "xs", "xz", "w", "ws", "wz", "xs", "xz"]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["image", "xs", "xz"], ["q"]),
            helper.make_node("QLinearConv", names, ["c"]),
            helper.make_node("DequantizeLinear", ["c", "xs", "xz"], ["logits"]),
        ],
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    slim(model)

    assert [3] in [numpy_helper.to_array(each).tolist()[-1:] for each in model.graph.initializer if len(each.dims) == 1]
    assert not any(tensor.name == "wz.single" for tensor in model.graph.initializer)
