from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgekd.graph.slim import slim


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
