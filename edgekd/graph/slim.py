"""An ONNX model reduced to what a device needs; equal models get equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np
import onnx
from onnx import numpy_helper

# onnx_ir's passes do less of this (digits: 26,878 bytes in fp32 and 9,464 as QDQ, against 26,652 and 9,011 here), and
# need sympy: 87 MB and 0.3 s of import wherever edgekd is installed, against 40 lines here.
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
# What these attributes say where they are left out; ONNX states it in words, not as a schema's default.
OF_CONVOLUTIONS = {"strides": 1, "dilations": 1, "pads": 0}
IMPLIED: dict[str, dict[str, int]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "QLinearConv", "MaxPool"), OF_CONVOLUTIONS),
    "AveragePool": {"strides": 1, "pads": 0},
}
SHAPED_BY_WEIGHTS = frozenset({"Conv", "ConvTranspose", "QLinearConv"})  # their kernel_shape is the weight's
ZERO_POINT_OF_WEIGHTS = 5  # among the inputs of QLinearConv


def slim(model: onnx.ModelProto) -> None:
    """Changes the model in place. Its inputs and outputs keep their names.

    Removed are doc strings, metadata, producer, node names, shapes that the runtime infers again, attributes
    that state what holds without them, zero points of zero that an operator can do without, and initializers that
    nobody reads or that repeat another one.
    """
    for field in ("doc_string", "metadata_props", "producer_name", "producer_version", "domain", "model_version"):
        model.ClearField(field)
    _keep_used_opsets(model)
    _spare_zero_points(model.graph)
    _merge_equal_initializers(model.graph)
    for graph in graphs_of(model.graph):
        for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
            graph.ClearField(field)
        graph.name = "g"  # the checker refuses an empty one
        for value in (*graph.input, *graph.output):
            value.ClearField("doc_string")
            value.ClearField("metadata_props")
        for node in graph.node:
            for field in ("name", "doc_string", "metadata_props"):
                node.ClearField(field)
            _drop_default_attributes(node, model)
    _shorten_names(model.graph)


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and every graph inside its control flow."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs_of(attribute.g)
            for inner in attribute.graphs:
                yield from graphs_of(inner)


def _keep_used_opsets(model: onnx.ModelProto) -> None:
    """The operator sets that a node uses; the quantizer declares one that a QDQ model has no use for."""
    used = {node.domain for graph in graphs_of(model.graph) for node in graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used or model.functions]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda opset: opset.domain))


def _merge_equal_initializers(graph: onnx.GraphProto) -> None:
    outputs = {value.name for value in graph.output}
    read = {name for inner in graphs_of(graph) for node in inner.node for name in node.input} | outputs
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    merged: dict[str, str] = {}
    kept = []
    for tensor in graph.initializer:
        if tensor.name not in read:
            continue
        array = numpy_helper.to_array(tensor)
        content = (tensor.data_type, tuple(tensor.dims), array.tobytes())
        if content in first and tensor.name not in outputs:
            merged[tensor.name] = first[content]
            continue
        first.setdefault(content, tensor.name)
        # raw bytes: a zero point of -128 takes ten as the varint that the quantizer writes
        kept.append(numpy_helper.from_array(array, tensor.name))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for inner in graphs_of(graph):
        for node in inner.node:
            for position, name in enumerate(node.input):
                node.input[position] = merged.get(name, name)


def _drop_default_attributes(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    version = next((each.version for each in model.opset_import if each.domain == node.domain), 0)
    if not onnx.defs.has(node.op_type, version, node.domain):
        return
    known = onnx.defs.get_schema(node.op_type, version, node.domain).attributes
    kept = []
    for attribute in node.attribute:
        attribute.ClearField("doc_string")
        stated = attribute.name in known and attribute == known[attribute.name].default_value
        if not stated and not _implied(node.op_type, attribute):
            kept.append(attribute)
    kept.sort(key=lambda attribute: attribute.name)
    del node.attribute[:]
    node.attribute.extend(kept)


def _implied(operator: str, attribute: onnx.AttributeProto) -> bool:
    if attribute.name == "kernel_shape":
        return operator in SHAPED_BY_WEIGHTS
    value = IMPLIED.get(operator, {}).get(attribute.name)
    return value is not None and set(attribute.ints) == {value}


def _spare_zero_points(graph: onnx.GraphProto) -> None:
    """One zero for all channels instead of a vector of them as QLinearConv's, and none before a Conv.

    QGemm wants as many as scales, and the runtime makes one of a Gemm only where they are given.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    vectors = {
        name: tensor.data_type
        for name, tensor in constants.items()
        if len(tensor.dims) == 1
        and tensor.data_type in (onnx.TensorProto.INT8, onnx.TensorProto.INT32)
        and not numpy_helper.to_array(tensor).any()
    }
    into_convolutions = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    read_otherwise = {
        name
        for inner in graphs_of(graph)
        for node in inner.node
        for place, name in enumerate(node.input)
        if node.op_type != "Conv" or place == 0
    }
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and not node.domain and len(node.input) > 2 and node.input[2] in vectors:
            if node.output[0] in into_convolutions - read_otherwise:
                del node.input[2:]
        elif node.op_type == "QLinearConv" and not node.domain and node.input[ZERO_POINT_OF_WEIGHTS] in vectors:
            single = f"{node.input[ZERO_POINT_OF_WEIGHTS]}.single"
            if single not in constants:
                kind = onnx.helper.tensor_dtype_to_np_dtype(vectors[node.input[ZERO_POINT_OF_WEIGHTS]])
                constants[single] = numpy_helper.from_array(np.zeros((), kind), single)
                graph.initializer.append(constants[single])
            node.input[ZERO_POINT_OF_WEIGHTS] = single


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Gives every inner tensor a name of one to three characters, in the order of appearance."""
    short: dict[str, str] = {value.name: value.name for value in (*graph.input, *graph.output)}
    short[""] = ""  # an input that is left out
    taken = frozenset(short)
    fresh = (name for name in map(_base36, count()) if name not in taken)

    def shortened(name: str) -> str:
        if name not in short:
            short[name] = next(fresh)
        return short[name]

    for inner in graphs_of(graph):
        for named in (*inner.input, *inner.output, *inner.initializer):
            named.name = shortened(named.name)
        for node in inner.node:
            node.input[:] = [shortened(name) for name in node.input]
            node.output[:] = [shortened(name) for name in node.output]


def _base36(number: int) -> str:
    text = DIGITS[number % 36]
    while number := number // 36:
        text = DIGITS[number % 36] + text
    return text
