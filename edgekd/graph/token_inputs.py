"""A text network as libraries of transformers export it, made to take the numbers of a text's pieces alone."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from edgekd.errors import ConfigError
from edgekd.records.contract import InputSpec, ModelContract

PIECES, MASK, SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
"""What Hugging Face's models call the numbers, where there are some, and which of two texts they are of."""


def reads_pieces(graph: onnx.GraphProto) -> bool:
    """Whether its inputs are called as those of such a file."""
    return PIECES in {each.name for each in graph.input}


def pieces_of(contract: ModelContract, file: Path) -> InputSpec:
    """The input with the numbers of a whole vocabulary, between marks for first and last.

    Raises:
        ConfigError: the data give none.
    """
    for each in contract.inputs:
        first = each.preprocessing.get("first", -1)
        if each.dtype == "int32" and isinstance(first, int) and first >= 0:
            return each
    raise ConfigError(
        f"{file} takes the pieces of words ({PIECES}), and the data say of none",
        hint="name its list of pieces: `tokenizer: {vocabulary: FOLDER/vocab.txt}` in the section `data`",
    )


def take_pieces(graph: onnx.GraphProto, spec: InputSpec, file: Path) -> None:
    """Changes the graph: one input, that of the contract, from which it makes those that it had.

    A place is masked where the number is 0, and all of them are of the first text.

    Raises:
        ConfigError: it has a table for another number of pieces.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    vocabulary = spec.preprocessing.get("vocabulary")
    for node in graph.node:
        if node.op_type == "Gather" and node.input[1] == PIECES and node.input[0] in constants:
            rows, known = constants[node.input[0]].dims[0], len(vocabulary) if isinstance(vocabulary, list) else 0
            if rows != known:
                raise ConfigError(
                    f"{file} was trained with a vocabulary of {rows} pieces, the one of the data has {known}",
                    hint="name the vocab.txt that lies beside its weights in `data.tokenizer.vocabulary`",
                )
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
