"""The units of a network: which dimensions of which weights mean the same channels, found by following one pass.

A convolution or linear layer makes new units and reads those of its input; batch norm, activations and pooling keep
them, a depthwise convolution too, addition makes those of both sides the same, and concatenation puts them in a row.
What is not known here gives units that cannot be told apart: they are taken all, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from edgekd.errors import ConfigError
from edgekd.training.initialisers.pairing import grouping
from edgekd.training.taps import undisturbed


@dataclass(frozen=True)
class Part:
    """A set of units in a dimension, each with so many consecutive entries: 49 after flattening maps of 7 x 7."""

    units: int
    repeat: int = 1


Dim = tuple[Part, ...]
"""One dimension of a tensor: sets of units in a row, one unless it was concatenated."""


class Units:
    """Sets of units, by number, that become the same set when they turn out to be (union-find)."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._whole: set[int] = set()

    def new(self, size: int, *, whole: bool = False) -> Dim:
        """whole: its units cannot be told apart."""
        self._parents.append(len(self._parents))
        self._sizes.append(size)
        if whole:
            self._whole.add(len(self._parents) - 1)
        return (Part(len(self._parents) - 1),)

    def root(self, units: int) -> int:
        while self._parents[units] != units:
            units = self._parents[units]
        return units

    def size(self, units: int) -> int:
        return self._sizes[units]

    def roots(self) -> list[int]:
        return [each for each, parent in enumerate(self._parents) if each == parent]

    def whole(self, units: int) -> bool:
        return self.root(units) in self._whole

    def make_whole(self, dim: Dim) -> None:
        self._whole.update(self.root(part.units) for part in dim)

    def join(self, one: Dim, other: Dim) -> None:
        """Makes them the same; where they are arranged differently no unit can be left out of either."""
        if self.arrangement(one) != self.arrangement(other):
            self.make_whole(one + other)
            return
        for mine, theirs in zip(one, other, strict=True):
            first, second = sorted((self.root(mine.units), self.root(theirs.units)))
            self._parents[second] = first
            if second in self._whole:
                self._whole.add(first)

    def arrangement(self, dim: Dim) -> list[tuple[int, int]]:
        return [(self.size(part.units), part.repeat) for part in dim]

    def entries(self, dim: Dim) -> int:
        return sum(self.size(part.units) * part.repeat for part in dim)


@dataclass
class Followed:
    """dims: of a tensor of the state dict the leading dimensions, as far as they are known. producers: the weights
    that make units, their first dimension, each with the gain of its batch norm if it has one. readers: the weights
    that read some, their second dimension."""

    units: Units = field(default_factory=Units)
    dims: dict[str, tuple[Dim, ...]] = field(default_factory=dict)
    producers: dict[str, str | None] = field(default_factory=dict)
    readers: list[str] = field(default_factory=list)

    def declare(self, name: str, dims: Sequence[Dim]) -> None:
        """A layer that runs twice reads the same units each time, and makes the same."""
        for old, new in zip(self.dims.get(name, ()), dims, strict=False):
            self.units.join(old, new)
        self.dims.setdefault(name, tuple(dims))


@dataclass
class Value:
    """A tensor in the pass. weight: its name, of one whose dimensions are not known before it is used. producer: the
    weight that made it, up to the next batch norm."""

    shape: tuple[int, ...]
    dims: tuple[Dim, ...]
    weight: str | None = None
    producer: str | None = None


def follow(network: nn.Module, inputs: Sequence[Tensor]) -> Followed:
    """The units of a network that takes such inputs.

    Raises:
        ConfigError: its pass cannot be followed (torch.fx).
    """
    try:
        with undisturbed(network):
            graph = fx.Tracer().trace(network)
            followed = Followed()
            _Pass(fx.GraphModule(network, graph), followed).run(*inputs)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(
            f"the layers of a {type(network).__name__} cannot be followed: {reason}",
            hint="its forward pass must be the same for every input, without `if` on tensors; or leave out `start`",
        ) from error
    saved = network.state_dict()
    for name, dims in followed.dims.items():
        if name not in saved:  # it is fixed, and not among what is taken
            for dim in dims:
                followed.units.make_whole(dim)
    return followed


class _Pass(fx.Interpreter):
    """Runs the network and keeps of every tensor what its dimensions mean."""

    def __init__(self, module: fx.GraphModule, followed: Followed) -> None:
        super().__init__(module)
        self.followed, self.units = followed, followed.units
        self.values: dict[fx.Node, Value] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.op == "output":
            for each in n.all_input_nodes:
                for dim in self._dims(each):
                    self.units.make_whole(dim)
        elif isinstance(result, Tensor):
            self.values[n] = self._value(n, tuple(result.shape))
        return result

    def _value(self, node: fx.Node, shape: tuple[int, ...]) -> Value:
        if node.op == "get_attr":
            return Value(shape, (), weight=str(node.target))
        if node.op == "call_module":
            layer = self.submodules[str(node.target)]
            rule = next((each for kinds, each in LAYERS.items() if isinstance(layer, kinds)), None)
            if rule is not None and self._inputs(node):
                return rule(self, layer, str(node.target), self._inputs(node)[0], shape)
            if type(layer).__module__ in KEEPING and not isinstance(layer, MIXING):
                return self.aligned(self._inputs(node), shape)
        elif node.op in ("call_function", "call_method"):
            name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
            known = FUNCTIONS.get(name)
            if known is not None and self._inputs(node):
                return known(self, node, self._inputs(node), shape)
        return self.unknown(shape)

    def _inputs(self, node: fx.Node) -> list[Value]:
        return [self.values[each] for each in node.all_input_nodes if each in self.values]

    def _dims(self, node: fx.Node) -> tuple[Dim, ...]:
        return self.values[node].dims if node in self.values else ()

    def unknown(self, shape: Sequence[int]) -> Value:
        return Value(tuple(shape), tuple(self.units.new(size, whole=True) for size in shape))

    def known(self, value: Value) -> tuple[Dim, ...]:
        """Its dimensions; of a weight that is not declared yet new ones of no meaning."""
        if value.weight is not None and not value.dims:
            value.dims = self.followed.dims.get(value.weight) or self.unknown(value.shape).dims
            self.followed.declare(value.weight, value.dims)
        return value.dims

    # layers

    def linear(self, weight: str, bias: str | None, x: Value, shape: tuple[int, ...]) -> Value:
        x_dims = self.known(x)
        made = self.units.new(shape[-1])
        return self._made(weight, bias, (made, x_dims[-1]), (*x_dims[:-1], made), shape)

    def convolution(
        self, weight: str, bias: str | None, group: str | int, x: Value, shape: tuple[int, ...], *, channel: int = 1
    ) -> Value:
        """channel: the dimension of the channels, from the front."""
        x_dims = self.known(x)
        read = x_dims[channel]
        if group == "depthwise":
            times = shape[channel] // self.units.entries(read)
            made: Dim = tuple(Part(part.units, part.repeat * times) for part in read)
            dims: tuple[Dim, ...] = (made,)
        else:
            made = self.units.new(shape[channel], whole=group != "plain")
            dims = (made, read) if group == "plain" else (made,)
        spatial = self.unknown(shape[channel + 1 :]).dims
        return self._made(weight, bias, dims, (*x_dims[:channel], made, *spatial), shape)

    def _made(
        self, weight: str, bias: str | None, dims: tuple[Dim, ...], out: tuple[Dim, ...], shape: tuple[int, ...]
    ) -> Value:
        self.followed.declare(weight, dims)
        self.followed.producers.setdefault(weight, None)
        if len(dims) > 1 and weight not in self.followed.readers:
            self.followed.readers.append(weight)
        if bias is not None:
            self.followed.declare(bias, dims[:1])
        return Value(shape, out, producer=weight)

    def norm(self, names: Sequence[str], gain: str | None, x: Value, shape: tuple[int, ...]) -> Value:
        """Batch norm: of each channel by itself."""
        dims = self.known(x)
        for name in names:
            self.followed.declare(name, (dims[1],))
        if gain is not None and x.producer is not None:
            self.followed.producers[x.producer] = gain
        return Value(shape, dims)

    # what keeps units, or rearranges them

    def aligned(self, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
        """Each entry of its own, or of the same place in all inputs; a dimension of another size is a new one."""
        dims: list[Dim] = []
        for place in range(-len(shape), 0):
            here = [(each, each.shape[place]) for each in inputs if len(each.shape) >= -place]
            found = [each for each, size in here if size == shape[place] and (each.dims or each.weight is None)]
            same = [each.dims[place] for each in found]
            dims.append(same[0] if same else self.units.new(shape[place], whole=True))
            for other in same[1:]:
                self.units.join(same[0], other)
        for each in inputs:
            if each.weight is not None and not each.dims:
                each.dims = tuple(
                    dims[place] if each.shape[place] == shape[place] else self.units.new(each.shape[place], whole=True)
                    for place in range(-len(each.shape), 0)
                )
                self.followed.declare(each.weight, each.dims)
        return Value(shape, tuple(dims), producer=inputs[0].producer if len(inputs) == 1 else None)

    def reshaped(self, x: Value, shape: tuple[int, ...]) -> Value:
        """Where dimensions go into one, each unit of the first has the entries of the others, if these are no units."""
        dims: list[Dim] = []
        old, new = 0, 0
        while new < len(shape):
            first, out = old, new
            old, new = old + 1, new + 1
            while (have := math.prod(x.shape[first:old])) != (want := math.prod(shape[out:new])):
                if (have < want and old < len(x.shape)) or new == len(shape):
                    old += 1
                else:
                    new += 1
                if old > len(x.shape) or new > len(shape):
                    return self.unknown(shape)
            if new - out == 1 and first < len(x.shape):
                dims.append(self._merged(self.known(x)[first:old], x.shape[first:old]))
            else:
                dims.extend(self.unknown(shape[out:new]).dims)
        return Value(shape, tuple(dims))

    def _merged(self, dims: Sequence[Dim], sizes: Sequence[int]) -> Dim:
        if len(dims) == 1:
            return dims[0]
        if any(not self.units.whole(part.units) for dim in dims[1:] for part in dim):
            for dim in dims:
                self.units.make_whole(dim)
            return self.units.new(math.prod(sizes), whole=True)
        return tuple(Part(part.units, part.repeat * math.prod(sizes[1:])) for part in dims[0])

    def concatenated(self, inputs: Sequence[Value], place: int, shape: tuple[int, ...]) -> Value:
        dims = [self.known(each) for each in inputs]
        place %= len(shape)
        for each in dims[1:]:
            for here, (one, other) in enumerate(zip(dims[0], each, strict=True)):
                if here != place:
                    self.units.join(one, other)
        out = list(dims[0])
        out[place] = tuple(part for each in dims for part in each[place])
        return Value(shape, tuple(out))


Layer = Callable[[_Pass, Any, str, Value, tuple[int, ...]], Value]
Function = Callable[[_Pass, fx.Node, Sequence[Value], tuple[int, ...]], Value]


def _linear(run: _Pass, layer: nn.Linear, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    return run.linear(f"{name}.weight", None if layer.bias is None else f"{name}.bias", x, shape)


def _convolution(run: _Pass, layer: _ConvNd, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    bias = None if layer.bias is None else f"{name}.bias"
    channel = len(shape) - len(layer.kernel_size) - 1
    return run.convolution(f"{name}.weight", bias, grouping(layer), x, shape, channel=channel)


def _transposed(run: _Pass, _layer: _ConvTransposeNd, _name: str, _x: Value, shape: tuple[int, ...]) -> Value:
    return run.unknown(shape)


def _batch_norm(run: _Pass, layer: _BatchNorm, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    there = ("weight", "bias", "running_mean", "running_var")
    names = [f"{name}.{each}" for each in there if getattr(layer, each) is not None]
    return run.norm(names, f"{name}.weight" if layer.affine else None, x, shape)


def _layer_norm(run: _Pass, layer: nn.LayerNorm, name: str, x: Value, shape: tuple[int, ...]) -> Value:
    dims = run.known(x)
    for each in ("weight", "bias"):
        if getattr(layer, each) is not None:
            run.followed.declare(f"{name}.{each}", dims[-len(layer.normalized_shape) :])
    return Value(shape, dims)


def _flatten(run: _Pass, _layer: nn.Module, _name: str, x: Value, shape: tuple[int, ...]) -> Value:
    return run.reshaped(x, shape)


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


def _named(run: _Pass, node: fx.Node | None) -> str | None:
    return run.values[node].weight if node is not None and node in run.values else None


def _functional(rule: Callable[[_Pass, fx.Node, str, str | None, Value, tuple[int, ...]], Value]) -> Function:
    """A layer as a function of its weights; of computed ones nothing is known."""

    def found(run: _Pass, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
        weight, bias = _named(run, _weight(node, 1, "weight")), _named(run, _weight(node, 2, "bias"))
        return run.unknown(shape) if weight is None else rule(run, node, weight, bias, inputs[0], shape)

    return found


def _linear_function(
    run: _Pass, _node: fx.Node, weight: str, bias: str | None, x: Value, shape: tuple[int, ...]
) -> Value:
    return run.linear(weight, bias, x, shape)


def _convolution_function(
    run: _Pass, node: fx.Node, weight: str, bias: str | None, x: Value, shape: tuple[int, ...]
) -> Value:
    groups = cast("int", node.args[6] if len(node.args) > 6 else node.kwargs.get("groups", 1))
    kind: str | int = "plain" if groups == 1 else "depthwise" if groups == x.shape[1] else groups
    return run.convolution(weight, bias, kind, x, shape)


def _aligned(run: _Pass, _node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    return run.aligned(inputs, shape)


def _reshaped(run: _Pass, _node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    return run.reshaped(inputs[0], shape)


def _concatenated(run: _Pass, node: fx.Node, _inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    place = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    parts = node.args[0] if node.args else node.kwargs["tensors"]
    ordered = [run.values[each] for each in cast("Sequence[fx.Node]", parts)]  # the same one may stand there twice
    return run.concatenated(ordered, cast("int", place), shape)


def _reduced(run: _Pass, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    """A mean, sum or maximum over some dimensions."""
    x = inputs[0]
    named = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if named is None:
        return run.unknown(shape)
    places = [named] if isinstance(named, int) else list(cast("Sequence[int]", named))
    gone = {place % len(x.shape) for place in places}
    dims = run.known(x)
    if len(shape) == len(x.shape):
        return Value(shape, tuple(run.units.new(1, whole=True) if at in gone else each for at, each in enumerate(dims)))
    return Value(shape, tuple(each for at, each in enumerate(dims) if at not in gone))


def _permuted(run: _Pass, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    given = node.args[1:] or (node.kwargs["dims"],)
    order = cast("Sequence[int]", given[0] if isinstance(given[0], (list, tuple)) else given)
    dims = run.known(inputs[0])
    return Value(shape, tuple(dims[place] for place in order))


def _transposed_function(run: _Pass, node: fx.Node, inputs: Sequence[Value], shape: tuple[int, ...]) -> Value:
    one, other = cast("tuple[int, int]", node.args[1:3])
    dims = list(run.known(inputs[0]))
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
