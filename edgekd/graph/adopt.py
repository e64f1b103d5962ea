"""An ONNX model from elsewhere, made into one file that gives the logits alone."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Container, MutableSequence, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekd.config.normalisation import Normalisation
from edgekd.errors import ConfigError, placed
from edgekd.graph.inspect import external_files, load_model
from edgekd.graph.slim import graphs_of
from edgekd.graph.token_inputs import pieces_of, reads_pieces, take_pieces
from edgekd.records.contract import ModelContract


def adopt(file: Path, contract: ModelContract, path: Path, wanted: Normalisation | None = None) -> None:
    """Writes the model to `path`, its weights inside and the logits its only output; the same bytes where it is so
    already.

    wanted: what it was trained with, where that is not what the contract feeds; the file brings one to the other. One
    that takes the pieces of a text as transformers do (`input_ids`) takes those of the contract.

    Raises:
        ConfigError: it is no model that can be read, none of its outputs is the logits, or `wanted` does not fit.
    """
    model = load_model(file)
    names = [str(each.name) for each in model.graph.output]
    spec = pieces_of(contract, file) if reads_pieces(model.graph) else None
    if len(names) == 1 and not external_files(file) and wanted is None and spec is None:
        shutil.copyfile(file, path)
        return
    if len(names) > 1:
        keep_output(model.graph, logits_among(names, contract, file))
    if spec is not None:
        take_pieces(model.graph, spec, file)
    if wanted is not None:
        _normalise(model.graph, contract, wanted, file)
    path.write_bytes(model.SerializeToString(deterministic=True))


def logits_among(outputs: Sequence[str], contract: ModelContract, file: Path) -> str:
    """The name of the output that holds the logits: the only one, or the one that is called as the contract's.

    Raises:
        ConfigError: there are several, and none is called so.
    """
    if len(outputs) == 1:
        return outputs[0]
    if contract.output not in outputs:
        raise ConfigError(
            f"{file}: its outputs are {', '.join(outputs)}, none is called {contract.output!r}",
            hint=f"rename the one with the logits to {contract.output!r}",
        )
    return contract.output


def _normalise(graph: onnx.GraphProto, contract: ModelContract, wanted: Normalisation, file: Path) -> None:
    """Puts x · std / wanted.std + (mean - wanted.mean) / wanted.std before everything that reads the input."""
    made = {tensor.name for tensor in graph.initializer}
    inputs = [each.name for each in graph.input if each.name not in made]
    if len(inputs) != 1 or len(contract.inputs) != 1:
        raise ConfigError(f"{file}: it has {len(inputs)} inputs, and mean and std are for one")
    with placed(str(file)):
        scale, offset = wanted.from_data(contract)
    form = (1, -1, *[1] * (len(contract.shape) - 1))
    factors = {"scale": scale, "offset": offset}
    taken = {name for each in graphs_of(graph) for node in each.node for name in (*node.input, *node.output)}
    fresh = {key: _unused(f"normalised.{key}", taken) for key in (*factors, "scaled", "input")}
    for each in graphs_of(graph):
        for node in each.node:
            for place, name in enumerate(node.input):
                if name == inputs[0]:
                    node.input[place] = fresh["input"]
    for key, values in factors.items():
        tensor = numpy_helper.from_array(np.array(values, np.float32).reshape(form), fresh[key])
        graph.initializer.append(tensor)
    graph.node.insert(0, helper.make_node("Mul", [inputs[0], fresh["scale"]], [fresh["scaled"]]))
    graph.node.insert(1, helper.make_node("Add", [fresh["scaled"], fresh["offset"]], [fresh["input"]]))


def _unused(name: str, taken: Container[str]) -> str:
    return next(
        each for each in itertools.chain([name], (f"{name}.{n}" for n in itertools.count())) if each not in taken
    )


def keep_output(graph: onnx.GraphProto, wanted: str) -> None:
    """Changes the graph in place: what only its other outputs need is gone, its inputs stay."""
    read = {wanted}
    nodes: list[onnx.NodeProto] = []
    for node in reversed(graph.node):  # they stand in an order in which they can run
        if read.intersection(node.output):
            nodes.insert(0, node)
            read |= _read_by(node)
    del graph.node[:]
    graph.node.extend(nodes)
    dropped = {tensor.name for tensor in graph.initializer} - read
    _retain(graph.output, lambda name: name == wanted)
    _retain(graph.initializer, lambda name: name not in dropped)
    # up to IR version 3 an initializer is an input too, and would have to be fed if it were that alone
    _retain(graph.input, lambda name: name not in dropped)
    _retain(graph.value_info, lambda name: name in read)


def _read_by(node: onnx.NodeProto) -> set[str]:
    """The tensors that it reads, in its control flow too."""
    graphs = list(graphs_of(onnx.GraphProto(node=[node])))
    read = {name for graph in graphs for each in graph.node for name in each.input}
    return read | {value.name for graph in graphs for value in graph.output}


def _retain(named: MutableSequence[Any], wanted: Callable[[str], bool]) -> None:
    kept = [each for each in named if wanted(each.name)]
    del named[:]
    named.extend(kept)
