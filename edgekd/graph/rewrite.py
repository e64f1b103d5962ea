"""Rewrites of an exported graph into operators that quantize well."""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper


def pool_spatial_means(model: onnx.ModelProto) -> None:
    """Changes the model in place: a mean over height and width becomes GlobalAveragePool.

    ONNX Runtime has an 8-bit kernel for the pooling, and none for ReduceMean: there the chain of 8-bit
    operators would break into DequantizeLinear, a float mean and QuantizeLinear.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    ranks = {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*model.graph.value_info, *model.graph.input)
        if value.type.tensor_type.HasField("shape")
    }
    nodes = []
    for node in model.graph.node:
        axes = _mean_axes(node, constants)
        if axes is None or ranks.get(node.input[0]) != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
            nodes.append(node)
        elif _flag(node, "keepdims", default=1):
            nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [node.output[0]]))
        else:
            pooled = f"{node.output[0]}_pooled"
            nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
            nodes.append(helper.make_node("Flatten", [pooled], [node.output[0]], axis=1))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _mean_axes(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> list[int] | None:
    """The axes of a ReduceMean over constant axes, else None."""
    if node.op_type != "ReduceMean" or node.domain or len(node.input) != 2 or node.input[1] not in constants:
        return None
    return [int(axis) for axis in numpy_helper.to_array(constants[node.input[1]])]


def _flag(node: onnx.NodeProto, name: str, *, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
