"""An ONNX model from elsewhere, made into one file that gives the logits alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, MutableSequence, Sequence
from pathlib import Path
from typing import Any

import onnx

from edgekd.errors import ConfigError
from edgekd.graph.inspect import external_files, load_model
from edgekd.graph.slim import graphs_of
from edgekd.records.contract import ModelContract


def adopt(file: Path, contract: ModelContract, path: Path) -> None:
    """Writes the model to `path`, its weights inside and the logits its only output; the same bytes where it is so
    already.

    Raises:
        ConfigError: it is no model that can be read, or none of its outputs is the logits.
    """
    model = load_model(file)
    names = [str(each.name) for each in model.graph.output]
    if len(names) == 1 and not external_files(file):
        shutil.copyfile(file, path)
        return
    if len(names) > 1:
        _keep_output(model.graph, logits_among(names, contract, file))
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


def _keep_output(graph: onnx.GraphProto, wanted: str) -> None:
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
