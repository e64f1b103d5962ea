"""Which tensors of a graph have a channel axis in common, and the constants that follow it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx

from edgekd.errors import StageError

UNARY = frozenset(
    {
        *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Clip", "Tanh", "Sigmoid", "HardSigmoid", "HardSwish", "Gelu"),
        *("Mish", "Softplus", "Softsign", "Erf", "Abs", "Neg", "Identity"),
    }
)
"""Of one number each, finite where that is zero: what becomes of an added channel is multiplied by zeros later."""
BINARY = frozenset({"Add", "Sub", "Mul", "PRelu"})
POOLING = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})


def rounded_up(channels: int, multiple: int) -> int:
    return -(-channels // multiple) * multiple


@dataclass
class _Group:
    """Tensors that must have equally many channels. fixed: they keep their number. strange: why they would have to."""

    count: int
    fixed: bool = False
    strange: str = ""

    def width(self, multiple: int) -> int:
        return self.count if self.fixed else rounded_up(self.count, multiple)


@dataclass(frozen=True)
class _Reader:
    """A constant as one node reads it, with a group along some of its axes: `per` elements for each channel."""

    node: int
    position: int
    axes: tuple[tuple[int, int, int], ...]  # axis, group, per


@dataclass
class Channels:
    """What of a graph is channels: the group of each activation, and the constants that follow them."""

    model: onnx.ModelProto
    groups: list[_Group] = field(default_factory=list)
    merged: dict[int, int] = field(default_factory=dict)
    of: dict[str, int] = field(default_factory=dict)
    flattened: dict[str, int] = field(default_factory=dict)
    """Of a tensor (N, C · per): how many elements there are for each channel."""
    readers: list[_Reader] = field(default_factory=list)
    depthwise: dict[int, str] = field(default_factory=dict)
    flattening: list[int] = field(default_factory=list)
    """The numbers of nodes that reshape (N, C, H, W) to (N, C · H · W)."""
    _number: int = -1

    def __post_init__(self) -> None:
        graph = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        tensors = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.shapes: dict[str, tuple[int, ...]] = {
            value.name: tuple(each.dim_value for each in value.type.tensor_type.shape.dim)  # 0: not known
            for value in (*graph.value_info, *graph.input, *graph.output)
            if value.type.tensor_type.HasField("shape")
        }
        # weights may be stored in 8 bits
        self.constants = dict(tensors)
        for node in graph.node:
            if node.op_type == "DequantizeLinear" and all(name in tensors for name in node.input):
                self.constants[node.output[0]] = tensors[node.input[0]]
        self.outputs = {value.name for value in graph.output}
        for value in graph.input:
            shape = self.shapes.get(value.name, ())
            if value.name not in tensors and len(shape) == 4 and shape[1]:
                self.of[value.name] = self._new(shape[1], fixed=True)

    def group(self, number: int) -> _Group:
        return self.groups[self._root(number)]

    def follow(self, node: onnx.NodeProto) -> None:
        """One node after the other, in the order in which they run."""
        self._number += 1
        if not self._followed(node):
            for name in node.input:
                if name in self.of:
                    group = self.group(self.of[name])
                    group.strange = group.strange or node.op_type
        for name in node.output:
            if name in self.outputs and name in self.of:
                self.group(self.of[name]).fixed = True

    def check(self, multiple: int) -> None:
        odd = [each for number, each in enumerate(self.groups) if self._root(number) == number]
        odd = [each for each in odd if each.width(multiple) != each.count]
        if not odd:
            raise StageError(
                f"the model has no convolution whose outputs are not a multiple of {multiple} already",
                hint="leave this candidate out",
            )
        for each in odd:
            if each.strange:
                raise StageError(
                    f"its {each.count} channels reach {each.strange}, through which added ones cannot be followed",
                    hint="give the network widths that are multiples, before it is trained",
                )
        if any(each.type == onnx.AttributeProto.GRAPH for node in self.model.graph.node for each in node.attribute):
            raise StageError("the model has branches or loops, through which added channels cannot be followed")

    def _new(self, count: int, *, fixed: bool = False) -> int:
        self.groups.append(_Group(count, fixed))
        return len(self.groups) - 1

    def _root(self, number: int) -> int:
        while number in self.merged:
            number = self.merged[number]
        return number

    def _merge(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self.merged[other] = one
            kept, gone = self.groups[one], self.groups[other]
            kept.fixed |= gone.fixed
            kept.strange = kept.strange or gone.strange

    def _followed(self, node: onnx.NodeProto) -> bool:
        """Whether the node was understood; one that reads no channels needs no understanding."""
        if node.domain or not node.input:
            return False
        following = {
            "Conv": self._convolution,
            **dict.fromkeys(("Gemm", "MatMul"), self._product),
            "BatchNormalization": self._norm,
            **dict.fromkeys(("Flatten", "Reshape", "Squeeze"), self._flatten),
            **dict.fromkeys(UNARY | POOLING, self._unary),
            **dict.fromkeys((*BINARY, "Div"), self._binary),
        }
        return node.op_type in following and following[node.op_type](node)

    def _convolution(self, node: onnx.NodeProto) -> bool:
        weights = self.constants.get(node.input[1], ())
        biased = len(node.input) > 2 and bool(node.input[2])
        if len(weights) != 4 or (biased and node.input[2] not in self.constants):
            return False
        source = self.of.get(node.input[0])
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        if groups == 1:
            target = self._new(weights[0])
            axes: tuple[tuple[int, int, int], ...] = ((0, target, 1),)
            if source is not None:
                axes += ((1, source, 1),)
        elif source is not None and weights[:2] == (groups, 1):  # each channel by itself
            target, axes = source, ((0, source, 1),)
            self.depthwise[self._number] = node.output[0]
        else:
            return False
        self.of[node.output[0]] = target
        self.readers.append(_Reader(self._number, 1, axes))
        if biased:
            self.readers.append(_Reader(self._number, 2, ((0, target, 1),)))
        return True

    def _product(self, node: onnx.NodeProto) -> bool:
        """Its own outputs stay as many as they are."""
        source, per = self.of.get(node.input[0]), self.flattened.get(node.input[0])
        if source is None or per is None or len(self.constants.get(node.input[1], ())) != 2:
            return False
        if any(name in self.of for name in node.input[1:]):
            return False
        flags = {each.name: each.i for each in node.attribute}
        if flags.get("transA"):
            return False
        axis = 1 if node.op_type == "Gemm" and flags.get("transB") else 0
        self.readers.append(_Reader(self._number, 1, ((axis, source, per),)))
        return True

    def _norm(self, node: onnx.NodeProto) -> bool:
        source = self.of.get(node.input[0])
        if source is None or node.input[0] in self.flattened or not all(n in self.constants for n in node.input[1:]):
            return False
        self.readers += [_Reader(self._number, position, ((0, source, 1),)) for position in range(1, len(node.input))]
        self.of[node.output[0]] = source
        return len(node.output) == 1

    def _flatten(self, node: onnx.NodeProto) -> bool:
        source = self.of.get(node.input[0])
        before, after = self.shapes.get(node.input[0], ()), self.shapes.get(node.output[0], ())
        if source is None or len(before) != 4 or len(after) != 2 or not all(before[1:]):
            return False
        per = before[2] * before[3]
        if after[1] != before[1] * per or before[0] != after[0]:
            return False
        self.flattening.append(self._number)
        self.of[node.output[0]], self.flattened[node.output[0]] = source, per
        return True

    def _unary(self, node: onnx.NodeProto) -> bool:
        if node.input[0] not in self.of or len(node.output) != 1 or any(name in self.of for name in node.input[1:]):
            return False
        self._pass_on(node.input[0], node.output[0])
        return True

    def _binary(self, node: onnx.NodeProto) -> bool:
        """Two activations of the same channels, or one with a constant: a number, or one for each channel."""
        known = [name for name in node.input if name in self.of]
        if len(known) == 2:
            one, other = (self.of[name] for name in known)
            same = self.group(one).count == self.group(other).count
            if node.op_type == "Div" or not same or self.flattened.get(known[0]) != self.flattened.get(known[1]):
                return False
            self._merge(one, other)
        elif len(known) == 1:
            position = 1 if node.input[0] == known[0] else 0
            shape = self.constants.get(node.input[position])
            if shape is None or len(shape) > 4 or (node.op_type == "Div" and position == 0):  # by zero
                return False
            if any(each != 1 for each in shape):
                source = self.of[known[0]]
                axis = len(shape) - 3
                per_channel = axis >= 0 and shape[axis] == self.group(source).count == int(np.prod(shape))
                if node.op_type == "Div" or known[0] in self.flattened or not per_channel:
                    return False
                self.readers.append(_Reader(self._number, position, ((axis, source, 1),)))
        else:
            return False
        self._pass_on(known[0], node.output[0])
        return True

    def _pass_on(self, before: str, after: str) -> None:
        self.of[after] = self.of[before]
        if before in self.flattened:
            self.flattened[after] = self.flattened[before]
