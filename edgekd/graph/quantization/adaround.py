"""AdaRound: each weight is rounded up or down, whichever serves the layer's output, not the weight.

Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization, equations 20 to 25. Two things
are done otherwise. The error of a layer is taken before its activation: then it is a quadratic form of the weights,
which the second moments of all samples give exactly, and an iteration costs the same however many samples there are.
And it is taken around the means, which the bias makes right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.graph.quantization.layers import (
    Layer,
    attribute,
    by_channels,
    constant,
    give_own_biases,
    layers_of,
    node_of,
    restored,
    set_constant,
)
from edgekd.graph.quantization.static import Numbers, quantized
from edgekd.graph.quantization.taps import flowing

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows

Array = NDArray[np.float64]

STRETCH_LOW, STRETCH_HIGH = -0.1, 1.1  # γ and ζ
ITERATIONS = 500
WARM_UP = 0.2  # of the iterations, in which nothing is drawn to 0 or 1 yet
SHARPNESS = (20.0, 2.0)  # β at first and in the end
PULL = 3.0  # λ, in units of what rounding to the nearest costs one weight
LEARNING_RATE = 0.03
LARGEST_INPUTS = 4096  # of a group of a layer: the second moments of more would take more than 128 MiB


@dataclass(frozen=True)
class Moments:
    """Of the inputs of a layer, by group: x of the float network, z of the 8-bit one.

    second: (G, K, K), the mean of z zᵀ; mixed: (G, K, K), that of x zᵀ; x, z: (G, K), their means.
    """

    second: Array
    mixed: Array
    x: Array
    z: Array

    def centred(self) -> Moments:
        second = self.second - self.z[:, :, None] * self.z[:, None, :]
        mixed = self.mixed - self.x[:, :, None] * self.z[:, None, :]
        return replace(self, second=second, mixed=mixed)


def adaptively_rounded(
    model: onnx.ModelProto, ranges: Any, numbers: Numbers, floating: Sequence[str], feeds: FedRows
) -> onnx.ModelProto | None:
    """A prepared model whose weights are such as the quantizer rounds to what serves each layer best, its means made
    right by its bias, layer after layer; None where there is no weight that could be rounded otherwise.

    feeds: samples whose second moments are taken. Layers of transposed convolutions, and such as share their weights,
    keep theirs.
    """
    if numbers.weights != "int8":
        return None
    result = onnx.ModelProto()
    result.CopyFrom(model)
    give_own_biases(result)
    numbers = replace(numbers, form="qdq")
    done = False
    for layer in layers_of(result):
        if layer.name in floating or not _can_be_rounded(result, layer):
            continue
        in_8_bits = quantized(result, ranges, numbers, floating)
        scale = _scale(in_8_bits, layer)
        if scale is None:
            continue
        moments = _moments(model, in_8_bits, layer, feeds)
        weights = by_channels(result, layer).astype(np.float64)
        flat = weights.reshape(*weights.shape[:2], -1)
        scales = scale.astype(np.float64).reshape(-1) * np.ones(flat.shape[0] * flat.shape[1])
        steps = flat / scales.reshape(*flat.shape[:2], 1)
        target = moments.centred() if layer.bias is not None else moments
        whole = best_rounding(steps, target, 64 if numbers.reduce_range else 127)
        done |= _set(result, layer, whole, scales, moments, (ranges, numbers, floating))
    return result if done else None


def best_rounding(weights: Array, moments: Moments, largest: int, iterations: int = ITERATIONS) -> Array:
    """Whole numbers (G, O, K), each of them a weight rounded up or down; weights: (G, O, K), in steps of their scale.

    The largest ones, which the scale is made of, are rounded to the nearest. Where no better rounding is found, all
    are.
    """
    nearest = np.clip(np.rint(weights), -largest, largest)
    low = np.clip(np.floor(weights), -largest, largest - 1)
    fixed = np.abs(weights) > largest - 0.5
    aim = weights @ moments.mixed
    lost = nearest - weights
    unit = float(np.sum(lost * (lost @ moments.second))) / weights.size
    if unit <= 0:
        return nearest
    share = np.clip(weights - low, 0.01, 0.99)
    v = _inverse(share)
    first, second = np.zeros_like(v), np.zeros_like(v)
    for step in range(1, iterations + 1):
        progress = (step / iterations - WARM_UP) / (1 - WARM_UP)
        _, slope = objective(v, low, aim, moments, unit, progress)
        slope[fixed] = 0
        first = 0.9 * first + 0.1 * slope
        second = 0.999 * second + 0.001 * slope**2
        v -= LEARNING_RATE * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    found = np.where(fixed, nearest, low + (_stretched(v)[0] >= 0.5))
    worse = error_of(found, aim, moments) > error_of(nearest, aim, moments)
    return nearest if worse else found


def error_of(rounded: Array, aim: Array, moments: Moments) -> float:
    """The mean squared error of the layer's output, but for what no rounding changes, summed over its channels."""
    return float(np.sum(rounded * (rounded @ moments.second - 2 * aim)))


def objective(v: Array, low: Array, aim: Array, moments: Moments, unit: float, progress: float) -> tuple[float, Array]:
    """What is made small, and its gradient (G, O, K) by v. progress: of the time after the warm-up; below 0 nothing is
    drawn to 0 or 1.

    error / unit + λ Σ (1 - |2 h(v) - 1|^β), with h(v) = clip(sigmoid(v) (ζ - γ) + γ, 0, 1).
    """
    h, rise = _stretched(v)
    rounded = low + h
    product = rounded @ moments.second
    value = float(np.sum(rounded * (product - 2 * aim))) / unit
    slope = 2 * (product - aim) / unit
    if progress >= 0:
        sharpness = SHARPNESS[1] + (SHARPNESS[0] - SHARPNESS[1]) * (1 + math.cos(math.pi * progress)) / 2
        distance = 2 * h - 1
        value += PULL * float(np.sum(1 - np.abs(distance) ** sharpness))
        slope -= PULL * 2 * sharpness * np.sign(distance) * np.abs(distance) ** (sharpness - 1)
    return value, slope * rise


def _stretched(v: Array) -> tuple[Array, Array]:
    """h(v), and its derivative."""
    sigmoid = 1 / (1 + np.exp(-v))
    raw = sigmoid * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW
    inside = (raw > 0) & (raw < 1)
    return np.clip(raw, 0, 1), np.where(inside, (STRETCH_HIGH - STRETCH_LOW) * sigmoid * (1 - sigmoid), 0)


def _inverse(h: Array) -> Array:
    share = (h - STRETCH_LOW) / (STRETCH_HIGH - STRETCH_LOW)
    return np.log(share / (1 - share))


def patches(values: NDArray[np.float32], node: onnx.NodeProto, kernel: Sequence[int]) -> NDArray[np.float32]:
    """What each place of the kernel reads, (G, K, M): K inputs of a group, M samples and places.

    values: (N, C, ...) for a convolution, (..., K) for a matrix product.
    """
    if node.op_type != "Conv":
        return values.reshape(-1, values.shape[-1]).T[None]
    axes = len(kernel)
    pads = attribute(node, "pads", [0] * 2 * axes)
    strides, dilations = attribute(node, "strides", [1] * axes), attribute(node, "dilations", [1] * axes)
    padded = np.pad(values, [(0, 0), (0, 0), *((pads[axis], pads[axis + axes]) for axis in range(axes))])
    spans = tuple((size - 1) * gap + 1 for size, gap in zip(kernel, dilations, strict=True))
    windows = sliding_window_view(padded, spans, axis=tuple(range(2, 2 + axes)))
    steps: list[slice] = [slice(None, None, step) for step in (1, 1, *strides, *dilations)]
    windows = windows[tuple(steps)]
    # (N, C, places, kernel) -> (G, C / G and kernel, N and places)
    groups = attribute(node, "group", 1)
    ordered = np.moveaxis(windows, [0, *range(2, 2 + axes)], range(-1 - axes, 0))
    inputs = values.shape[1] // groups * math.prod(kernel)
    return ordered.reshape(groups, inputs, -1)


def _can_be_rounded(model: onnx.ModelProto, layer: Layer) -> bool:
    if layer.operator == "ConvTranspose" or not layer.own:
        return False
    _, _, inputs, places = by_channels(model, layer).shape
    padded_alike = attribute(node_of(model, layer), "auto_pad", b"NOTSET") == b"NOTSET"
    return bool(padded_alike) and inputs * places <= LARGEST_INPUTS


def _scale(in_8_bits: onnx.ModelProto, layer: Layer) -> NDArray[np.float32] | None:
    """Of its weights, one for all or for each output channel; None where they stayed in float."""
    dequantize = _dequantize(in_8_bits, layer)
    return None if dequantize is None else constant(in_8_bits, dequantize.input[1])


def _dequantize(in_8_bits: onnx.ModelProto, layer: Layer) -> onnx.NodeProto | None:
    weight = node_of(in_8_bits, layer).input[1]
    return next((each for each in in_8_bits.graph.node if weight in each.output), None)


def _moments(model: onnx.ModelProto, in_8_bits: onnx.ModelProto, layer: Layer, feeds: FedRows) -> Moments:
    node = node_of(model, layer)
    kernel = constant(model, layer.weight).shape[2:]
    count, second, mixed, x, z = 0, np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1)
    exact = flowing(model, [layer.input], feeds)
    rounded = flowing(in_8_bits, [node_of(in_8_bits, layer).input[0]], feeds)
    for (of_float,), (of_8_bits,) in zip(exact, rounded, strict=True):
        read, seen = patches(of_float, node, kernel), patches(of_8_bits, node, kernel)
        count += seen.shape[2]
        second = second + seen @ seen.transpose(0, 2, 1)
        mixed = mixed + read @ seen.transpose(0, 2, 1)
        x = x + read.sum(axis=2, dtype=np.float64)
        z = z + seen.sum(axis=2, dtype=np.float64)
    return Moments(second / count, mixed / count, x / count, z / count)


def _set(
    model: onnx.ModelProto,
    layer: Layer,
    whole: Array,
    scales: Array,
    moments: Moments,
    quantizing: tuple[Any, Numbers, Sequence[str]],
) -> bool:
    """Changes the model, unless the quantizer would make other whole numbers of the weights."""
    before, shape = constant(model, layer.weight), by_channels(model, layer).shape
    weights = by_channels(model, layer).astype(np.float64).reshape(whole.shape)
    scale = scales.reshape(*whole.shape[:2], 1)
    # the largest stay as they are: the scale is made of them
    chosen = np.where(np.abs(whole - weights / scale) < 0.5, weights, whole * scale)
    set_constant(model, layer.weight, restored(model, layer, chosen.reshape(shape)))
    in_8_bits = quantized(model, *quantizing)
    dequantize = _dequantize(in_8_bits, layer)
    assert dequantize is not None
    (stored,) = [each for each in in_8_bits.graph.initializer if each.name == dequantize.input[0]]
    expected = restored(model, layer, whole.reshape(shape)).reshape(before.shape)
    if not np.array_equal(numpy_helper.to_array(stored), expected):
        set_constant(model, layer.weight, before)
        return False
    if layer.bias is not None:
        lost = np.einsum("gok,gk->go", weights, moments.x) - np.einsum("gok,gk->go", whole * scale, moments.z)
        set_constant(model, layer.bias, constant(model, layer.bias) + lost.reshape(-1))
    return True
