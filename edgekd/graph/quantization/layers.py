"""The layers of a graph that have weights: their names, their weights, and which of them a user leaves in float."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.config.layer_rule import LayerRule
from edgekd.config.section import nearest
from edgekd.errors import ConfigError

Number = TypeVar("Number", bound=np.generic)

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SCOPES = "pkg.torch.onnx.name_scopes"  # what torch's exporter says of the modules that a node lies in


@dataclass(frozen=True)
class Layer:
    """A convolution or a matrix product with constant weights; `name` is its node's too. `own`: no other node reads
    the weights."""

    name: str
    operator: str
    input: str
    output: str
    weight: str
    bias: str | None
    own: bool


def layer_names(model: onnx.ModelProto) -> tuple[str, ...]:
    """A name for each layer with weights, in the order of the graph: that of its module in torch, else its node's, else
    operator and place."""
    found: list[str] = []
    for place, node in enumerate(_weighted(model.graph)):
        name = _module(node) or node.name or f"{node.op_type}_{place}"
        found.append(name if name not in found else f"{name}_{place}")
    return tuple(found)


def name_layers(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Changes the model: its layers' nodes are called so; without names, as `layer_names` calls them."""
    called = tuple(names) or layer_names(model)
    for node, name in zip(_weighted(model.graph), called, strict=True):
        node.name = name


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Those of a model whose nodes have names, in the order of the graph."""
    constants = {tensor.name for tensor in model.graph.initializer}
    readers = Counter(name for node in model.graph.node for name in node.input)
    return tuple(
        Layer(
            name=node.name,
            operator=node.op_type,
            input=node.input[0],
            output=node.output[0],
            weight=node.input[1],
            bias=node.input[2] if len(node.input) > 2 and node.input[2] in constants else None,
            own=readers[node.input[1]] == 1,
        )
        for node in _weighted(model.graph)
    )


def give_own_biases(model: onnx.ModelProto) -> None:
    """Changes the model: a bias that several layers read, because it is the same, is there once for each of them."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    seen: set[str] = set()
    for node in _weighted(model.graph):
        if len(node.input) < 3 or node.input[2] not in constants:
            continue
        name = node.input[2]
        if name in seen:
            node.input[2] = f"{name}@{node.name}"
            model.graph.initializer.append(numpy_helper.from_array(constant(model, name), node.input[2]))
        seen.add(name)


def constant(model: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    (tensor,) = [each for each in model.graph.initializer if each.name == name]
    return np.asarray(numpy_helper.to_array(tensor), np.float32)


def set_constant(model: onnx.ModelProto, name: str, values: NDArray[np.floating]) -> None:
    """Changes the model; the values become float32 of the shape that is there."""
    (tensor,) = [each for each in model.graph.initializer if each.name == name]
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32).reshape(tuple(tensor.dims)), name))


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """The value of an attribute, which stands in the file unless it is the operator's default."""
    return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def by_channels(model: onnx.ModelProto, layer: Layer) -> NDArray[np.float32]:
    """The weights of a layer, but for those of a transposed convolution, as (groups, outputs of a group, inputs of a
    group, places of the kernel)."""
    weights, node = constant(model, layer.weight), node_of(model, layer)
    if layer.operator == "Conv":
        groups = attribute(node, "group", 1)
        return weights.reshape(groups, len(weights) // groups, weights.shape[1], -1)
    return (weights if attribute(node, "transB", 0) else weights.T)[None, :, :, None]


def restored(model: onnx.ModelProto, layer: Layer, weights: NDArray[Number]) -> NDArray[Number]:
    """What `by_channels` gave, in the form that the layer has."""
    if layer.operator == "Conv":
        return weights
    flat = weights[0, :, :, 0]
    return flat if attribute(node_of(model, layer), "transB", 0) else flat.T


def left_in_float(layers: Sequence[str], rules: Sequence[LayerRule], scheme: str) -> tuple[str, ...]:
    """Those of the layers that the rules leave in float; they are read in order, and a later one wins.

    Raises:
        ConfigError: a rule is about no layer.
    """
    kept = dict.fromkeys(layers, "int8")
    for rule in rules:
        matched = [name for name in layers if fnmatchcase(name, rule.match) or fnmatchcase(name, f"{rule.match}.*")]
        if not matched:
            raise ConfigError(
                f"{scheme}: no layer of the network is called {rule.match!r}", hint=nearest(rule.match, layers)
            )
        kept.update(dict.fromkeys(matched, rule.keep))
    return tuple(name for name, keep in kept.items() if keep == "float")


def node_of(model: onnx.ModelProto, layer: Layer) -> onnx.NodeProto:
    node: onnx.NodeProto = next(each for each in model.graph.node if each.name == layer.name)
    return node


def _weighted(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in WEIGHTED and node.domain in ("", "ai.onnx") and node.input[1] in constants
    ]


def _module(node: onnx.NodeProto) -> str:
    """The name of the torch module that it computes, empty where the file does not say."""
    if node.input[1].endswith(".weight"):  # a batch norm that was folded into it has left its own name as the scope
        return str(node.input[1]).removesuffix(".weight")
    scopes = next((each.value for each in node.metadata_props if each.key == SCOPES), "[]")
    modules = ast.literal_eval(scopes)[:-1]  # the last one is the operator
    return str(modules[-1]) if modules else ""
