"""Multiply-accumulates of a graph, by the type that they are computed in. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import onnx

from edgekd.graph.dry_run import Tensor

INT8 = "int8"
EIGHT_BITS = frozenset({"int8", "uint8"})

# Where an operator's two factors stand. The same names serve in all domains: "", com.microsoft, com.microsoft.nchwc
# and com.ms.internal.nhwc.
CONVOLUTIONS = {
    "Conv": (0, 1),
    "FusedConv": (0, 1),
    "NhwcFusedConv": (0, 1),
    "QLinearConv": (0, 3),
    "ConvInteger": (0, 1),
}
TRANSPOSED = {"ConvTranspose": (0, 1)}
PRODUCTS = {
    "Gemm": (0, 1),
    "FusedGemm": (0, 1),
    "QGemm": (0, 3),
    "MatMul": (0, 1),
    "FusedMatMul": (0, 1),
    "FusedMatMulActivation": (0, 1),
    "QLinearMatMul": (0, 3),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1),
    "DynamicQuantizeMatMul": (0, 1),
    "MatMulNBits": (0, 1),
}
ROUNDED_FIRST = frozenset({"DynamicQuantizeMatMul"})
"""Those that make 8 bits of their float factor themselves."""
NOT_COUNTED = frozenset({
    "Attention", "DeformConv", "DynamicQuantizeLSTM", "Einsum", "GRU", "GroupQueryAttention", "If", "LSTM", "Loop",
    "MultiHeadAttention", "QAttention", "RNN", "Scan",
})  # fmt: skip
"""Those that multiply too, how much is not worked out here: they are named, so that no share seems whole."""


def macs_by_type(graph: onnx.GraphProto, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """How many products are summed in each type: of two factors of 8 bits `int8`, else the type of the first one.

    A convolution takes (outputs) · (weights of one filter), a transposed one (inputs) · (weights that meet one), a
    matrix product (outputs) · (columns of the first factor). Channels that the runtime fills up count: it computes
    them.
    """
    found: Counter[str] = Counter()
    for node in graph.node:
        factors = (CONVOLUTIONS | TRANSPOSED | PRODUCTS).get(node.op_type)
        if factors is not None:
            one, other = (tensors[node.input[place]] for place in factors)
            eight = other.dtype in EIGHT_BITS and (one.dtype in EIGHT_BITS or node.op_type in ROUNDED_FIRST)
            found[INT8 if eight else one.dtype] += _macs(node, one, other, tensors[node.output[0]])
    return dict(sorted(found.items()))


def not_counted(graph: onnx.GraphProto) -> dict[str, int]:
    """The operators whose products `macs_by_type` leaves out."""
    return dict(sorted(Counter(node.op_type for node in graph.node if node.op_type in NOT_COUNTED).items()))


def _macs(node: onnx.NodeProto, one: Tensor, other: Tensor, output: Tensor) -> int:
    if node.op_type in CONVOLUTIONS:
        return math.prod(output.shape) * math.prod(other.shape[1:])
    if node.op_type in TRANSPOSED:
        return math.prod(one.shape) * math.prod(other.shape[1:])
    turned = any(each.name == "transA" and each.i for each in node.attribute) and len(one.shape) > 1
    return math.prod(output.shape) * one.shape[-2 if turned else -1]
