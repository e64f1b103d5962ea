"""ONNX's operators in torch, as far as networks that are quantized have them.

Source: the operator reference of ONNX, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere
from torch import Tensor

Attributes = Mapping[str, Any]
Operator = Callable[[Sequence[Tensor | None], Attributes], Tensor]
Shape = Callable[[Sequence[Tensor | None], Attributes, Sequence[int]], Tensor]


def _conv(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    x, weight, *rest = given
    assert x is not None
    assert weight is not None
    bias = rest[0] if rest else None
    places = x.ndim - 2
    x, pads = _padded(x, attributes, 0.0)
    convolution = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[places]
    return convolution(
        x,
        weight,
        bias,
        stride=attributes.get("strides", [1] * places),
        padding=pads,
        dilation=attributes.get("dilations", [1] * places),
        groups=attributes.get("group", 1),
    )


def _max_pool(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    x, pads = _padded(_first(given), attributes, -torch.inf)
    places = x.ndim - 2
    pool = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[places]
    result: Tensor = pool(
        x,
        attributes["kernel_shape"],
        attributes.get("strides", [1] * places),
        pads,
        attributes.get("dilations", [1] * places),
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
    )
    return result


def _average_pool(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    x, counted = _first(given), bool(attributes.get("count_include_pad", 0))
    places = x.ndim - 2
    pads = attributes.get("pads", [0] * (2 * places))
    if pads[:places] != pads[places:]:
        raise NotImplementedError("average pooling with uneven padding")
    pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[places]
    result: Tensor = pool(
        x,
        attributes["kernel_shape"],
        attributes.get("strides", [1] * places),
        pads[:places],
        ceil_mode=bool(attributes.get("ceil_mode", 0)),
        count_include_pad=counted,
    )
    return result


def _gemm(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    left, right, *rest = given
    assert left is not None
    assert right is not None
    left = left.T if attributes.get("transA", 0) else left
    right = right.T if attributes.get("transB", 0) else right
    product: Tensor = attributes.get("alpha", 1.0) * (left @ right)
    if rest and rest[0] is not None:
        product = product + attributes.get("beta", 1.0) * rest[0]
    return product


def _clip(given: Sequence[Tensor | None], _attributes: Attributes) -> Tensor:
    x, low, high, *_ = [*given, None, None]
    assert x is not None
    x = x if low is None else torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _batch_norm(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    x, scale, bias, mean, variance = (each for each in given if each is not None)
    return F.batch_norm(x, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _flatten(given: Sequence[Tensor | None], attributes: Attributes) -> Tensor:
    x, axis = _first(given), attributes.get("axis", 1)
    before = 1
    for size in x.shape[:axis]:
        before *= size
    return x.reshape(before, -1)


def _padded(x: Tensor, attributes: Attributes, value: float) -> tuple[Tensor, list[int]]:
    """The input, padded where that is not the same at both ends, and the padding that is left to the operator."""
    places = x.ndim - 2
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise NotImplementedError("automatic padding")
    pads = list(attributes.get("pads", [0] * (2 * places)))
    before, after = pads[:places], pads[places:]
    within = value == 0 or all(2 * a <= b for a, b in zip(before, attributes["kernel_shape"], strict=True))
    if before == after and within:  # torch pads a maximum by half a kernel at most
        return x, before
    ends = [each for pair in reversed(list(zip(before, after, strict=True))) for each in pair]
    return F.pad(x, ends, value=value), [0] * places


def _first(given: Sequence[Tensor | None]) -> Tensor:
    assert given[0] is not None
    return given[0]


def _two(compute: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def operator(given: Sequence[Tensor | None], _attributes: Attributes) -> Tensor:
        left, right = given
        assert left is not None
        assert right is not None
        return compute(left, right)

    return operator


def _one(compute: Callable[[Tensor], Tensor]) -> Operator:
    return lambda given, _attributes: compute(_first(given))


OPERATORS: dict[str, Operator] = {
    "Add": _two(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": lambda given, attributes: torch.cat([each for each in given if each is not None], attributes["axis"]),
    "Conv": _conv,
    "Div": _two(torch.div),
    "Erf": _one(torch.erf),
    "Flatten": _flatten,
    "Gelu": lambda given, attributes: F.gelu(
        _first(given), approximate=attributes.get("approximate", b"none").decode()
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _one(lambda x: x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)),
    "HardSigmoid": lambda given, attributes: (
        attributes.get("alpha", 0.2) * _first(given) + attributes.get("beta", 0.5)
    ).clamp(0, 1),
    "HardSwish": _one(F.hardswish),
    "Identity": _one(lambda x: x),
    "LeakyRelu": lambda given, attributes: F.leaky_relu(_first(given), attributes.get("alpha", 0.01)),
    "MatMul": _two(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _two(torch.mul),
    "Relu": _one(torch.relu),
    "Sigmoid": _one(torch.sigmoid),
    "Sub": _two(torch.sub),
    "Tanh": _one(torch.tanh),
    "Transpose": lambda given, attributes: _first(given).permute(attributes["perm"]),
}
"""Functions of tensors and attributes."""


def _reshape(given: Sequence[Tensor | None], _attributes: Attributes, shape: Sequence[int]) -> Tensor:
    x = _first(given)
    return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(shape)])


def _reduce_mean(given: Sequence[Tensor | None], attributes: Attributes, axes: Sequence[int]) -> Tensor:
    return _first(given).mean(dim=list(axes), keepdim=bool(attributes.get("keepdims", 1)))


def _unsqueeze(given: Sequence[Tensor | None], _attributes: Attributes, axes: Sequence[int]) -> Tensor:
    x = _first(given)
    for axis in sorted(axes):
        x = x.unsqueeze(axis)
    return x


SHAPES: dict[str, Shape] = {
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Squeeze": lambda given, _attributes, axes: _first(given).squeeze(list(axes)),
    "Unsqueeze": _unsqueeze,
}
"""Functions of whole numbers too: of a constant that is their second input."""
