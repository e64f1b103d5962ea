"""An ONNX model reduced to what a device needs; equal models get equal bytes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import onnx
from onnx import numpy_helper

# onnx_ir's passes do half of this, to the same sizes (digits: 26,878 bytes in fp32, 9,464 against 9,463 in 8 bits), and
# need sympy: 87 MB and 0.3 s of import wherever edgekd is installed, against 40 lines here.
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def slim(model: onnx.ModelProto) -> None:
    """Changes the model in place. Its inputs and outputs keep their names.

    Removed are doc strings, metadata, producer, node names, shapes that the runtime infers again, attributes
    that state the operator's default, and initializers that nobody reads or that repeat another one.
    """
    for field in ("doc_string", "metadata_props", "producer_name", "producer_version", "domain", "model_version"):
        model.ClearField(field)
    _keep_used_opsets(model)
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
        if attribute.name not in known or attribute != known[attribute.name].default_value:
            kept.append(attribute)
    kept.sort(key=lambda attribute: attribute.name)
    del node.attribute[:]
    node.attribute.extend(kept)


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
