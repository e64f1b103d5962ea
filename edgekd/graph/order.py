"""The nodes of a graph in an order that depends on nothing but what it computes."""

from __future__ import annotations

import onnx

from edgekd.graph.slim import graphs_of


def order_by_use(model: onnx.ModelProto) -> None:
    """Changes the model in place: its nodes stand before what reads them, in the order in which the outputs need them,
    and the initializers in the order in which they are first read. What no output needs is gone."""
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output if name}
    ordered: dict[int, onnx.NodeProto] = {}
    for output in graph.output:
        waiting = [output.name]
        while waiting:
            node = producers.get(waiting[-1])
            unmade = [] if node is None or id(node) in ordered else _unmade(node, producers, ordered)
            if unmade:
                waiting.append(unmade[0])
                continue
            waiting.pop()
            if node is not None:
                ordered[id(node)] = node
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered.values()]
    first = {name: place for place, name in reversed(list(enumerate(name for node in nodes for name in reads(node))))}
    tensors = sorted(
        (tensor for tensor in graph.initializer if tensor.name in first), key=lambda tensor: first[tensor.name]
    )
    tensors = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)


def _unmade(
    node: onnx.NodeProto, producers: dict[str, onnx.NodeProto], ordered: dict[int, onnx.NodeProto]
) -> list[str]:
    return [name for name in reads(node) if name in producers and id(producers[name]) not in ordered]


def reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that it reads, in its control flow too."""
    graphs = list(graphs_of(onnx.GraphProto(node=[node])))
    inner = [name for graph in graphs for each in graph.node for name in each.input]
    return [*inner, *(value.name for graph in graphs for value in graph.output)]
