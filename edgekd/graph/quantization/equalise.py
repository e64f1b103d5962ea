"""Cross-layer equalisation: channels of like size, so that one scale fits them all; the network's function stays.

Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, sections 4.1.1 and
4.1.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.graph.quantization.layers import (
    Layer,
    attribute,
    by_channels,
    constant,
    give_own_biases,
    layers_of,
    restored,
    set_constant,
)
from edgekd.graph.quantization.taps import flowing

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows

# f(s·x) = s·f(x) for every s > 0. A Clip is none of them: it is where its bound was, however small a channel became.
SCALABLE = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Identity")
ROUNDS = 30
SETTLED = 1e-3  # of the logarithm of a scale: nothing that 8 bits could show


@dataclass(frozen=True)
class Pair:
    """Two layers, the second of which alone reads what the first one gives, `through` operators that scale with it."""

    first: Layer
    second: Layer
    through: tuple[str, ...]


def equalised(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with its channels rescaled, pair after pair of layers until that changes nothing more: the same
    function but for rounding. None where it has no such pair.

    Channel i of the first layer is divided by s_i = sqrt(r1_i / r2_i), and what reads it in the second multiplied;
    r: the largest absolute weight of the channel.
    """
    result = _copied(model)
    pairs = pairs_of(result)
    if not pairs:
        return None
    weights = {each.name: by_channels(result, each).astype(np.float64) for pair in pairs for each in _both(pair)}
    biases = {
        each.name: constant(result, each.bias).astype(np.float64)
        for pair in pairs
        for each in _both(pair)
        if each.bias is not None
    }
    for _ in range(ROUNDS):
        moved = 0.0
        for pair in pairs:
            first, second = weights[pair.first.name], weights[pair.second.name]
            channels = first.shape[0] * first.shape[1]
            scale = _scales(first, second)
            moved = max(moved, float(np.abs(np.log(scale)).max()))
            weights[pair.first.name] = first / scale.reshape(*first.shape[:2], 1, 1)
            if pair.first.name in biases:
                biases[pair.first.name] = biases[pair.first.name] / scale
            read = np.repeat(scale, second.shape[0] * second.shape[2] // channels)
            weights[pair.second.name] = second * read.reshape(second.shape[0], 1, second.shape[2], 1)
        if moved < SETTLED:
            break
    for layer in layers_of(result):
        if layer.name in weights:
            set_constant(result, layer.weight, restored(result, layer, weights[layer.name]))
        if layer.name in biases and layer.bias is not None:
            set_constant(result, layer.bias, biases[layer.name])
    return result


def absorbed(model: onnx.ModelProto, feeds: FedRows) -> onnx.ModelProto | None:
    """The model with what a channel always has, c = max(0, mean - 3 std) before its ReLU, moved from the bias of the
    first layer of a pair into that of the second: the ranges between them become smaller. None where there is nothing.

    It changes what fewer than about one in a thousand values become, so it is no equality. A second layer that pads is
    left alone: c is not there at the border.
    """
    result = _copied(model)
    pairs = [pair for pair in pairs_of(result) if _can_absorb(result, pair)]
    moved = False
    for pair, (mean, std) in zip(pairs, _moments(result, [pair.first for pair in pairs], feeds), strict=True):
        always = np.maximum(0, mean - 3 * std)
        if not always.any():
            continue
        assert pair.first.bias is not None
        assert pair.second.bias is not None
        second = by_channels(result, pair.second).astype(np.float64)
        added = np.einsum("goit,gi->go", second, always.reshape(second.shape[0], second.shape[2])).reshape(-1)
        set_constant(result, pair.first.bias, constant(result, pair.first.bias) - always)
        set_constant(result, pair.second.bias, constant(result, pair.second.bias) + added)
        moved = True
    return result if moved else None


def pairs_of(model: onnx.ModelProto) -> list[Pair]:
    """In the order of the graph."""
    layers = {each.name: each for each in layers_of(model) if each.operator != "ConvTranspose" and each.own}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {each.name for each in model.graph.output}
    found = []
    for first in layers.values():
        through: list[str] = []
        tensor = first.output
        while tensor not in outputs and len(readers.get(tensor, ())) == 1:
            (node,) = readers[tensor]
            second = layers.get(node.name)
            if second is not None and second.input == tensor:
                if _fit(model, first, second, through):
                    found.append(Pair(first, second, tuple(through)))
                break
            if node.op_type not in SCALABLE or node.input[0] != tensor or len(node.output) > 1:
                break
            through.append(node.op_type)
            tensor = node.output[0]
    return found


def _fit(model: onnx.ModelProto, first: Layer, second: Layer, through: list[str]) -> bool:
    """Whether it is known which channel of the first layer each input of the second one is."""
    given, read = by_channels(model, first).shape, by_channels(model, second).shape
    channels, inputs = given[0] * given[1], read[0] * read[2]
    flattened = bool({"Flatten", "Reshape"} & set(through))
    if first.operator == "Conv" and second.operator == "Gemm" and flattened:
        # by channel: all places of the first one, then those of the next
        return bool(inputs == channels * _places(model, first, through))
    alike = (first.operator == "Conv") == (second.operator == "Conv")
    return alike and not flattened and bool(channels == inputs)


def _places(model: onnx.ModelProto, first: Layer, through: list[str]) -> int:
    """Of each channel before it is flattened, 0 where the file does not say."""
    tensor, readers = first.output, {name: node for node in model.graph.node for name in node.input}
    for _ in range(next(place for place, name in enumerate(through) if name in ("Flatten", "Reshape"))):
        tensor = readers[tensor].output[0]
    shapes = {each.name: each.type.tensor_type.shape.dim for each in model.graph.value_info}
    return math.prod(each.dim_value for each in shapes[tensor][2:]) if tensor in shapes else 0


def _scales(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """By channel between them; 1 where one of both has nothing but zeros there."""
    channels = first.shape[0] * first.shape[1]
    given = np.abs(first).max(axis=(2, 3)).reshape(-1)
    read = np.abs(second).max(axis=(1, 3)).reshape(channels, -1).max(axis=1)
    usable = (given > 0) & (read > 0)
    scale: NDArray[np.float64] = np.sqrt(np.divide(given, read, out=np.ones_like(given), where=usable))
    return scale


def _can_absorb(model: onnx.ModelProto, pair: Pair) -> bool:
    node = next(each for each in model.graph.node if each.name == pair.second.name)
    padded = any(attribute(node, "pads", ())) or attribute(node, "auto_pad", b"NOTSET") != b"NOTSET"
    kept = set(pair.through) <= {"Relu", "GlobalAveragePool", "Flatten", "Identity"} and "Relu" in pair.through
    first, second = by_channels(model, pair.first).shape, by_channels(model, pair.second).shape
    same = first[0] * first[1] == second[0] * second[2]
    return bool(kept and same and not padded) and pair.first.bias is not None and pair.second.bias is not None


def _moments(
    model: onnx.ModelProto, layers: list[Layer], feeds: FedRows
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Mean and standard deviation of each layer's channels, over samples and places."""
    count = [0] * len(layers)
    total = [np.zeros(1)] * len(layers)
    squares = [np.zeros(1)] * len(layers)
    if not layers:
        return
    for batch in flowing(model, [each.output for each in layers], feeds):
        for number, values in enumerate(batch):
            flat = np.moveaxis(values.astype(np.float64), 1, 0).reshape(values.shape[1], -1)
            count[number] += flat.shape[1]
            total[number] = total[number] + flat.sum(axis=1)
            squares[number] = squares[number] + (flat**2).sum(axis=1)
    for number in range(len(layers)):
        mean = total[number] / count[number]
        yield mean, np.sqrt(np.maximum(0, squares[number] / count[number] - mean**2))


def _copied(model: onnx.ModelProto) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    give_own_biases(result)
    return result


def _both(pair: Pair) -> tuple[Layer, Layer]:
    return pair.first, pair.second
