"""What may go wrong with a quantized file on another processor or runtime than the one it was made on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekd.records.candidate import Caution
from edgekd.records.model import Execution, ModelFacts

INT32 = 2**31 - 1
SMALLEST = float(np.finfo(np.float32).tiny)
"""Of normal float32 numbers; what is smaller some processors take for 0."""

SCALES = {
    "QuantizeLinear": (1,),
    "DequantizeLinear": (1,),
    "QLinearConv": (1, 4, 6),
    "QLinearMatMul": (1, 4, 6),
    "QGemm": (1, 4, 7),
    "QLinearAdd": (1, 4, 6),
    "QLinearMul": (1, 4, 6),
    "QLinearConcat": (0,),
    "QLinearGlobalAveragePool": (1, 3),
    "QLinearAveragePool": (1, 3),
    "QLinearLeakyRelu": (1, 3),
    "QLinearSigmoid": (1, 3),
    "QLinearSoftmax": (1, 3),
}
"""Which inputs of an operator are scales."""


def cautions(model: onnx.ModelProto, runs: Execution) -> tuple[Caution, ...]:
    """What to know of the file wherever it runs; `runs`: what a runtime makes of it here."""
    products = list(_products(model.graph))
    told = [] if runs.in_float else [*_saturation(model.graph), *_accumulators(products)]
    return (*told, *_scales(model.graph, products), *_left_in_float(runs))


def needs_newer(facts: ModelFacts, oldest: str) -> tuple[Caution, ...]:
    """Whether a file asks for more than the version `oldest` of ONNX Runtime is known to load, such as "1.17"."""
    if facts.runtime is not None and _version(facts.runtime) <= _version(oldest):
        return ()
    needed = f"ONNX Runtime {facts.runtime}" if facts.runtime else "an ONNX Runtime newer than any that was tried"
    return (
        Caution(
            name="runtime",
            what=f"operator set {facts.opset} and IR version {facts.ir_version} need {needed}, the target has {oldest}",
            hint="set export.opset lower, or raise the target's oldest_runtime once its devices are updated",
        ),
    )


def _version(release: str) -> tuple[int, int]:
    major, minor, *_ = release.split(".")
    return int(major), int(minor)


def saturates_without_vnni(graph: onnx.GraphProto) -> bool:
    """Whether two products of 8 bits can exceed 16: VPMADDUBSW adds them in pairs, and 255·(64+64) just fits.

    Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW.
    """
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}  # nothing is multiplied by them
    return any(
        int(np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0)) > 64
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1 and tensor.name not in tables
    )


@dataclass(frozen=True)
class _Product:
    """An 8-bit convolution or matrix product with constant weights.

    weights: (outputs, products of one), the zero point taken off. largest: of an activation, its zero point taken off.
    bias: (outputs,), as int32 holds it, zeros where there is none. scales: of the activation and of the weights.
    """

    weights: NDArray[np.int64]
    largest: int
    bias: NDArray[np.int64]
    scales: tuple[NDArray[np.float32], NDArray[np.float32]]


def _products(graph: onnx.GraphProto) -> Iterator[_Product]:
    """In both forms: of operators between DequantizeLinear and QuantizeLinear, and of operators that are 8-bit."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    dequantized = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        names = list(node.input)
        if node.op_type in ("Conv", "Gemm", "MatMul") and all(name in dequantized for name in names[:2]):
            one, other = (list(dequantized[name].input) for name in names[:2])
            bias = dequantized[names[2]].input[0] if len(names) > 2 and names[2] in dequantized else ""
        elif node.op_type in ("QLinearConv", "QGemm", "QLinearMatMul"):
            one, other = names[:3], names[3:6]
            place = {"QLinearConv": 8, "QGemm": 6}.get(node.op_type, len(names))
            bias = names[place] if place < len(names) else ""
        else:
            continue
        scales = constants.get(one[1]), constants.get(other[1])
        # an 8-bit product takes one scale for its activation; rows of a table that is stored in 8 bits have more
        if other[0] in constants and scales[0] is not None and scales[0].size == 1 and scales[1] is not None:
            weights = _by_output(node, _shifted(constants[other[0]], constants.get(_third(other))))
            held = constants.get(bias, np.zeros(1, np.int64)).astype(np.int64).reshape(-1)
            yield _Product(weights, _largest(constants.get(_third(one))), held, (scales[0], scales[1]))


def _third(names: list[str]) -> str:
    return names[2] if len(names) > 2 else ""


def _shifted(weights: NDArray[Any], zero_point: NDArray[Any] | None) -> NDArray[np.int64]:
    """Less the zero point, which is 0 wherever there is one for each channel."""
    single = zero_point is not None and zero_point.size == 1
    return weights.astype(np.int64) - (int(zero_point.reshape(())) if single and zero_point is not None else 0)


def _by_output(node: onnx.NodeProto, weights: NDArray[np.int64]) -> NDArray[np.int64]:
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    first = node.op_type.endswith("Conv") or (node.op_type.endswith("Gemm") and turned)
    axis = 0 if first else -1
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def _largest(zero_point: NDArray[Any] | None) -> int:
    """Without a zero point an activation is uint8, and it is 0."""
    if zero_point is None:
        return 255
    limits, zero = np.iinfo(zero_point.dtype), int(zero_point.reshape(-1)[0])
    return max(int(limits.max) - zero, zero - int(limits.min))


def _saturation(graph: onnx.GraphProto) -> Iterator[Caution]:
    if saturates_without_vnni(graph):
        yield Caution(
            name="saturation",
            what="on an x86 processor without VNNI its 8-bit sums can overflow, and accuracy measured elsewhere does "
            "not hold",
            hint="quantize with reduce_range for such a device",
        )


def _accumulators(products: list[_Product]) -> Iterator[Caution]:
    """The largest that the sum of an output can be is Σ |weight| · largest activation + |bias|."""
    over = coarse = 0
    for each in products:
        bias = np.abs(each.bias)
        over += int(np.count_nonzero(np.abs(each.weights).sum(axis=1) * each.largest + bias > INT32))
        coarse += int(np.count_nonzero(bias > INT32 // 2))
    if over:
        yield Caution(
            name="overflow",
            what=f"the int32 sums of {_channels(over)} can overflow, and then change their sign",
            hint="train with weight decay, or leave these layers in float",
        )
    if coarse:
        yield Caution(
            name="bias",
            what=f"the bias of {_channels(coarse)} fills int32: the quantizer made the scale of their weights coarser, "
            "for the bias to fit, and rounds small weights to 0",
            hint="these channels are as good as switched off (a folded batch norm with a tiny scale): prune them",
        )


def _channels(count: int) -> str:
    return f"{count} output channel{'s' if count > 1 else ''}"


def _scales(graph: onnx.GraphProto, products: list[_Product]) -> Iterator[Caution]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    read = {
        node.input[place]
        for node in graph.node
        for place in SCALES.get(node.op_type, ())
        if place < len(node.input) and node.input[place] in constants
    }
    small = sum(int(np.count_nonzero(numpy_helper.to_array(constants[name]) < SMALLEST)) for name in read)
    vanish = sum(
        int(np.count_nonzero(one.astype(np.float64) * other.astype(np.float64) < SMALLEST))
        for one, other in (each.scales for each in products)
        if one.min() >= SMALLEST and other.min() >= SMALLEST
    )
    count = small or vanish
    if count:
        yield Caution(
            name="scale",
            what=f"{count} scale{'s' if count > 1 else ''}{'' if small else ' of products'} below the smallest normal "
            "float32: a processor that takes such numbers for 0 divides by it, or answers 0",
            hint="these channels or activations are as good as 0: prune them, or calibrate on samples that excite them",
        )


def _left_in_float(runs: Execution) -> Iterator[Caution]:
    kernelless = {name: count - runs.unfused.get(name, 0) for name, count in runs.left_between.items()}
    if any(kernelless.values()):
        yield Caution(
            name="kernel",
            what=f"computed in float between 8-bit operators, for want of an 8-bit kernel: {_named(kernelless)}",
            hint="each costs two conversions: replace it in the model (ReLU, pooling, addition have kernels), or leave "
            "its neighbours in float",
        )
    if runs.unfused:
        yield Caution(
            name="unfused",
            what=f"the file asks for 8 bits, and this runtime computes in float: {_named(runs.unfused)}",
            hint="leave these operators out of the quantization, or try another version of ONNX Runtime",
        )


def _named(operators: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in operators.items() if count)
