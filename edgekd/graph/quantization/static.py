"""Static 8-bit quantization with ONNX Runtime's quantizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QuantizationMode, QuantType
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgekd.graph.quantization.calibrate import activation_ranges
from edgekd.graph.quantization.schemes import StaticInt8

# What has an 8-bit kernel and stands between a network's convolutions; the quantizers' default adds normalisation,
# softmax and recurrent layers, where 8 bits cost accuracy and gain nothing.
OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool",
    "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}


def quantize_static_qdq(scheme: StaticInt8, model: Path, images: NDArray[np.float32]) -> onnx.ModelProto:
    """The model with QuantizeLinear and DequantizeLinear around its operators."""
    return _quantized(QDQQuantizer(onnx.load(model), **_choices(scheme, model, images)), _leave_float_in_qdq)


def quantize_static_qoperator(scheme: StaticInt8, model: Path, images: NDArray[np.float32]) -> onnx.ModelProto:
    """The model with its operators replaced by 8-bit ones."""
    choices = {"mode": QuantizationMode.QLinearOps, "static": True, **_choices(scheme, model, images)}
    return _quantized(ONNXQuantizer(onnx.load(model), **choices), _leave_float_in_qoperator)


def _choices(scheme: StaticInt8, model: Path, images: NDArray[np.float32]) -> dict[str, Any]:
    """What both quantizers take."""
    return {
        "per_channel": scheme.per_channel,
        "reduce_range": scheme.reduce_range,
        "weight_qType": TYPES[scheme.weights],
        "activation_qType": TYPES[scheme.activations],
        "tensors_range": activation_ranges(model, images, scheme.calibrate, OPERATORS),
        "nodes_to_quantize": [],
        "nodes_to_exclude": [],
        "op_types_to_quantize": list(OPERATORS),
        "extra_options": {},
    }


def _quantized(
    quantizer: QDQQuantizer | ONNXQuantizer, leave_float: Callable[[onnx.GraphProto, str], None]
) -> onnx.ModelProto:
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    for output in quantized.graph.output:
        leave_float(quantized.graph, output.name)
    return quantized


def _leave_float_in_qdq(graph: onnx.GraphProto, output: str) -> None:
    """Nothing; an output that a matrix product gives is no longer rounded to one of 256 values.

    The runtime's 8-bit products can give float, so this costs nothing, and close logits stay apart.
    """
    producers = {name: node for node in graph.node for name in node.output}
    dequantize = producers[output]
    if dequantize.op_type != "DequantizeLinear":
        return
    quantize = producers[dequantize.input[0]]
    product = producers.get(quantize.input[0])
    if product is None or product.op_type not in ("Gemm", "MatMul"):
        return
    product.output[0] = output
    graph.node.remove(quantize)
    graph.node.remove(dequantize)


def _leave_float_in_qoperator(graph: onnx.GraphProto, output: str) -> None:
    """As `_leave_float_in_qdq`: QGemm gives float when it has no scale for its output."""
    producers = {name: node for node in graph.node for name in node.output}
    dequantize = producers[output]
    if dequantize.op_type != "DequantizeLinear":
        return
    product = producers[dequantize.input[0]]
    if product.op_type != "QGemm":
        return
    del product.input[7:]  # the scale and zero point of the output
    product.output[0] = output
    graph.node.remove(dequantize)
