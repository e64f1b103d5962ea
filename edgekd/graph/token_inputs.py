"""A text network as libraries of transformers export it, made to take the numbers of a text's pieces alone."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from edgekd.records.contract import InputSpec, ModelContract

PIECES, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
"""What Hugging Face's models call the numbers, where there are some, and which of two texts they are of."""


def reads_pieces(graph: onnx.GraphProto) -> bool:
    """Whether its inputs are called as those of such a file."""
    return PIECES in {each.name for each in graph.input}


def pieces_of(contract: ModelContract) -> InputSpec | None:
    """The input with the numbers that a teacher is given: the last one of numbers, None where there is none."""
    return next((each for each in reversed(contract.inputs) if each.dtype == "int32"), None)


def take_pieces(graph: onnx.GraphProto, spec: InputSpec) -> None:
    """Changes the graph: one input, that of the contract, from which it makes those that it had.

    A place is masked where the number is 0, and all of them are of the first text.
    """
    given = {each.name: each for each in graph.input}
    kept = [each for each in graph.input if each.name not in (PIECES, MASK, SEGMENTS)]
    shape = given[PIECES].type.tensor_type.shape
    sizes = [each.dim_value if each.HasField("dim_value") else each.dim_param for each in shape.dim]
    nodes = []
    for name in (each for each in (PIECES, MASK, SEGMENTS) if each in given):
        kind, source = given[name].type.tensor_type.elem_type, spec.name
        if name == MASK:
            nodes.append(helper.make_node("Cast", [source], [f"{name}.there"], to=TensorProto.BOOL))
            source = f"{name}.there"
        elif name == SEGMENTS:
            nodes.append(helper.make_node("Sub", [source, source], [f"{name}.zeros"]))
            source = f"{name}.zeros"
        nodes.append(helper.make_node("Cast", [source], [name], to=kind))
    del graph.input[:]
    graph.input.extend([helper.make_tensor_value_info(spec.name, TensorProto.INT32, sizes), *kept])
    after = [*nodes, *graph.node]
    del graph.node[:]
    graph.node.extend(after)
