"""Bias correction: what rounding shifts the mean of each channel by is taken back from its bias.

Source: Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, section 4.2, with
means that are measured (appendix D), layer after layer; Finkelstein et al. 2019, Fighting Quantization Bias With Bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.graph.quantization.layers import constant, give_own_biases, layers_of, node_of, set_constant
from edgekd.graph.quantization.static import Numbers, quantized
from edgekd.graph.quantization.taps import flowing

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows


def bias_corrected(
    model: onnx.ModelProto, ranges: Any, numbers: Numbers, floating: Sequence[str], feeds: FedRows
) -> onnx.ModelProto:
    """A prepared model whose 8-bit form has the channel means of its own outputs; feeds: samples to measure them on.

    b_i += E[y_i] - E[ŷ_i], y: what the layer gives before its activation in float, ŷ: in 8 bits, with the layers before
    it corrected already. A layer without a bias gets none.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    give_own_biases(result)
    layers = [each for each in layers_of(result) if each.bias is not None]
    wanted = channel_means(model, [each.output for each in layers], feeds)
    for layer, mean in zip(layers, wanted, strict=True):
        assert layer.bias is not None
        in_8_bits = quantized(result, ranges, replace(numbers, form="qdq"), floating)
        (shifted,) = channel_means(in_8_bits, [node_of(in_8_bits, layer).output[0]], feeds)
        set_constant(result, layer.bias, constant(result, layer.bias) + (mean - shifted))
    return result


def channel_means(model: onnx.ModelProto, tensors: Sequence[str], feeds: FedRows) -> list[NDArray[np.float64]]:
    """The mean of each channel (C,) of tensors (N, C, ...) over samples and places."""
    count, total = [0] * len(tensors), [np.zeros(1)] * len(tensors)
    for batch in flowing(model, tensors, feeds) if tensors else ():
        for number, values in enumerate(batch):
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            total[number] = total[number] + values.sum(axis=others, dtype=np.float64)
            count[number] += values.size // values.shape[1]
    return [each / number for each, number in zip(total, count, strict=True)]
