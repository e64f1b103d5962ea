"""The units of a network: which dimensions of which weights mean the same channels, found by following one pass.

A convolution or linear layer makes new units and reads those of its input; batch norm, activations and pooling keep
them, a depthwise convolution too, addition makes those of both sides the same, and concatenation puts them in a row.
What is not known here gives units that cannot be told apart: they are taken all, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import fx


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


class Reading:
    """What has been found of a network in the pass so far: its units, and what each tensor's dimensions mean."""

    def __init__(self) -> None:
        self.followed = Followed()
        self.units = self.followed.units
        self.values: dict[fx.Node, Value] = {}

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
