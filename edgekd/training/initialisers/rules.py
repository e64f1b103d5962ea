"""What each layer and function does to the units of its input, by type and by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgekd.training.initialisers.pairing import grouping
from edgekd.training.initialisers.units import Reading, Value

Layer = Callable[[Reading, Any, str, Value, tuple[int, ...]], Value]
Function = Callable[[Reading, fx.Node, Sequence[Value], tuple[int, ...]], Value]


def _linear(reading: Reading, layer: nn.Linear, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    return reading.linear(f"{name}.weight", None if layer.bias is None else f"{name}.bias", x, shape)


def _convolution(reading: Reading, layer: _ConvNd, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    bias = None if layer.bias is None else f"{name}.bias"
    channel = len(shape) - len(layer.kernel_size) - 1
    return reading.convolution(f"{name}.weight", bias, grouping(layer), x, shape, channel=channel)


def _transposed(reading: Reading, _layer: _ConvTransposeNd, _name: str, _x: Value, shape: tuple[int, ...]) -> Value:
    return reading.unknown(shape)


def _batch_norm(reading: Reading, layer: _BatchNorm, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    there = ("weight", "bias", "running_mean", "running_var")
    names = [f"{name}.{each}" for each in there if getattr(layer, each) is not None]
    return reading.norm(names, f"{name}.weight" if layer.affine else None, x, shape)


def _layer_norm(reading: Reading, layer: nn.LayerNorm, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    dims = reading.known(x)
    for each in ("weight", "bias"):
        if getattr(layer, each) is not None:
            reading.followed.declare(f"{name}.{each}", dims[-len(layer.normalized_shape) :])
    return Value(shape, dims)


def _flatten(reading: Reading, _layer: nn.Module, _name: str, x: Value, shape: tuple[int, ...]) -> Value:
    return reading.reshaped(x, shape)


LAYERS: Mapping[tuple[type[nn.Module], ...], Layer] = {
    (nn.Linear,): _linear,
    (_ConvTransposeNd,): _transposed,
    (_ConvNd,): _convolution,
    (_BatchNorm,): _batch_norm,
    (nn.LayerNorm,): _layer_norm,
    (nn.Flatten, nn.Unflatten): _flatten,
}
KEEPING = frozenset(
    {f"torch.nn.modules.{each}" for each in ("activation", "dropout", "linear", "padding", "pooling", "upsampling")}
)
MIXING = (nn.MultiheadAttention, nn.GLU, nn.PReLU, nn.Bilinear)
"""Layers of the modules KEEPING that do not keep each channel by itself, or have weights of their own."""


def _weight(node: fx.Node, place: int, name: str) -> fx.Node | None:
    found = node.args[place] if place < len(node.args) else node.kwargs.get(name)
    return found if isinstance(found, fx.Node) else None


def _named(reading: Reading, node: fx.Node | None) -> str | None:
    return reading.values[node].weight if node is not None and node in reading.values else None


def _functional(rule: Callable[[Reading, fx.Node, str, str | None, Value, tuple[int, ...]], Value]) -> Function:
    """A layer as a function of its weights; of computed ones nothing is known."""

    def found(reading: Reading, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
        weight, bias = _named(reading, _weight(node, 1, "weight")), _named(reading, _weight(node, 2, "bias"))
        return reading.unknown(shape) if weight is None else rule(reading, node, weight, bias, inputs[0], shape)

    return found


def _linear_function(
    reading: Reading, _node: fx.Node, weight: str, bias: str | None, x: Value, shape: tuple[int, ...]
) -> Value:
    return reading.linear(weight, bias, x, shape)


def _convolution_function(
    reading: Reading, node: fx.Node, weight: str, bias: str | None, x: Value, shape: tuple[int, ...]
) -> Value:
    groups = cast("int", node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1))
    kind: str | int = "plain" if groups == 1 else "depthwise" if groups == x.shape[1] else groups
    return reading.convolution(weight, bias, kind, x, shape)


def _aligned(reading: Reading, _node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    return reading.aligned(inputs, shape)


def _reshaped(reading: Reading, _node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    return reading.reshaped(inputs[0], shape)


def _concatenated(reading: Reading, node: fx.Node, _inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    place = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    ordered = [reading.values[each] for each in cast("Sequence[fx.Node]", parts)]  # the same one may stand there twice
    return reading.concatenated(ordered, cast("int", place), shape)


def _reduced(reading: Reading, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """A mean, sum or maximum over some dimensions."""
    x = inputs[0]
    named = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if named is None:
        return reading.unknown(shape)
    places = [named] if isinstance(named, int) else list(cast("Sequence[int]", named))
    gone = {place % len(x.shape) for place in places}
    dims = reading.known(x)
    if len(shape) == len(x.shape):
        return Value(
            shape, tuple(reading.units.new(1, whole=True) if at in gone else each for at, each in enumerate(dims))
        )
    return Value(shape, tuple(each for at, each in enumerate(dims) if at not in gone))


def _permuted(reading: Reading, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    given = node.args[1:] or (node.kwargs["dims"],)
    order = cast("Sequence[int]", given[0] if isinstance(given[0], (list, tuple)) else given)
    dims = reading.known(inputs[0])
    return Value(shape, tuple(dims[place] for place in order))


def _transposed_function(reading: Reading, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    one, other = cast("tuple[int, int]", node.args[1:3])
    dims = list(reading.known(inputs[0]))
    dims[one], dims[other] = dims[other], dims[one]
    return Value(shape, tuple(dims))


ALIGNED = (
    "relu", "relu_", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid", "tanh", "elu",
    "leaky_relu", "softplus", "mish", "softmax", "dropout", "dropout2d", "stochastic_depth",
    "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "interpolate",
    "contiguous", "clone", "float", "abs", "neg", "exp", "log", "sqrt", "rsqrt", "clamp", "pow",
    "add", "add_", "iadd", "sub", "isub", "mul", "mul_", "imul", "div", "truediv", "itruediv", "maximum", "minimum",
)  # fmt: skip
FUNCTIONS: Mapping[str, Function] = {
    **dict.fromkeys(ALIGNED, _aligned),
    **dict.fromkeys(("flatten", "reshape", "view", "squeeze", "unsqueeze"), _reshaped),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduced),
    **dict.fromkeys(("cat", "concat", "concatenate"), _concatenated),
    **dict.fromkeys(("transpose", "swapaxes"), _transposed_function),
    "permute": _permuted,
    "linear": _functional(_linear_function),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _functional(_convolution_function)),
}
"""By their names, of functions and methods alike. They take a tensor to one whose entries are the same units."""
