"""Tables of which single rows are read, such as embeddings, stored as int8: what was read becomes float, no more."""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import helper, numpy_helper

from edgekd.graph.quantization.rounding import OPSET, made_smaller, quantized
from edgekd.graph.slim import graphs_of


def store_tables(model: onnx.ModelProto) -> int:
    """Changes the model: each float table that Gather alone takes rows of is int8 with a scale for each column, and
    DequantizeLinear stands behind the Gather, so it is as small in memory as in the file. How many there are.

    A model of an operator set that is older than scales by column is left as it is.
    """
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    tables = row_tables(model.graph) if opset >= OPSET else {}
    for name, (tensor, gathers) in tables.items():
        stored, scale = quantized(numpy_helper.to_array(tensor), axis=1)
        model.graph.initializer.remove(tensor)
        names = f"{name}_int8", f"{name}_scale"
        model.graph.initializer.extend(
            [numpy_helper.from_array(stored, names[0]), numpy_helper.from_array(scale, names[1])]
        )
        for node in gathers:
            rows, read = f"{node.output[0]}_int8", node.output[0]
            node.input[0], node.output[0] = names[0], rows
            place = list(model.graph.node).index(node) + 1
            model.graph.node.insert(place, helper.make_node("DequantizeLinear", [rows, names[1]], [read], axis=-1))
    return len(tables)


def row_tables(graph: onnx.GraphProto) -> dict[str, tuple[onnx.TensorProto, list[onnx.NodeProto]]]:
    """The tables that become smaller, with those who read them."""
    reading = Counter(name for inner in graphs_of(graph) for node in inner.node for name in node.input)
    found = {}
    for tensor in graph.initializer:
        gathers = [node for node in graph.node if _takes_rows(node, tensor.name)]
        floats = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
        if floats and gathers and reading[tensor.name] == len(gathers) and made_smaller(tuple(tensor.dims), axis=1):
            found[tensor.name] = (tensor, gathers)
    return found


def _takes_rows(node: onnx.NodeProto, table: str) -> bool:
    axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
    return node.op_type == "Gather" and node.input[0] == table and axis == 0 and node.input[1] != table
