"""Weights stored as int8 behind DequantizeLinear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.inspect import load_model
from edgekd.graph.quantization.rounding import OPSET, made_smaller, quantized
from edgekd.graph.quantization.stored_tables import store_tables
from edgekd.graph.slim import graphs_of, slim


def quantize_weights(fp32: Path) -> bytes:
    """The model's file with int8 weights wherever that makes it smaller.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: it does so nowhere, or the operator set of the model is older than scales by channel.
    """
    model = load_model(fp32)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset < OPSET:
        raise StageError(
            f"the model is of operator set {opset}, and 8-bit weights with a scale for each channel need {OPSET}",
            hint="export it again with a newer operator set",
        )
    tables = store_tables(model)
    nodes, tensors = [], []
    axes = output_axes(model.graph)
    for tensor in model.graph.initializer:
        axis = axes.get(tensor.name)
        if axis is None or not made_smaller(tuple(tensor.dims), axis):
            tensors.append(tensor)
            continue
        stored, scale = quantized(numpy_helper.to_array(tensor), axis)
        names = f"{tensor.name}_int8", f"{tensor.name}_scale"
        tensors += [numpy_helper.from_array(stored, names[0]), numpy_helper.from_array(scale, names[1])]
        nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    if not nodes and not tables:
        raise StageError(
            "the model has no weights that 8 bits would make smaller",
            hint="8 bits are for those of convolutions and matrix products, from some 30 numbers on",
        )
    return stored_otherwise(model, nodes, tensors)


def stored_otherwise(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], tensors: Sequence[onnx.TensorProto]
) -> bytes:
    """The file of the model with these constants instead of its own, from which the nodes make those first."""
    after = [*nodes, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(after)
    model.graph.initializer.extend(tensors)
    slim(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def output_axes(graph: onnx.GraphProto) -> dict[str, int]:
    """The axis of the output channels of each float32 constant that nothing but products reads, as their weights."""
    axes: dict[str, int] = {}
    read_otherwise = {value.name for value in (*graph.input, *graph.output)}
    for inner in graphs_of(graph):
        for node in inner.node:
            for position, name in enumerate(node.input):
                axis = _output_axis(node) if position == 1 else None
                if axis is None:
                    read_otherwise.add(name)
                else:
                    axes.setdefault(name, axis)  # any axis is right; two products may want different ones
    return {
        tensor.name: axes[tensor.name] % len(tensor.dims)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
        if tensor.name in axes and tensor.name not in read_otherwise
    }


def _output_axis(node: onnx.NodeProto) -> int | None:
    """Of the second input, None where it is no weight."""
    match node.op_type:
        case "Conv":
            return 0
        case "ConvTranspose":
            return 1
        case "MatMul":
            return -1
        case "Gemm":
            return 0 if any(each.name == "transB" and each.i for each in node.attribute) else 1
    return None
