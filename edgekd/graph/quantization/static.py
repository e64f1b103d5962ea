"""Static 8-bit quantization with ONNX Runtime's quantizers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnxruntime.quantization import QuantizationMode, QuantType, quant_pre_process
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgekd.errors import EdgekdError, StageError
from edgekd.graph.inspect import load_model
from edgekd.graph.quantization.calibrate import Method, activation_ranges
from edgekd.graph.slim import slim

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Feeds
    from edgekd.graph.device_form import Ranges

# What has an 8-bit kernel and stands between a network's convolutions; the quantizers' default adds normalisation,
# softmax and recurrent layers, where 8 bits cost accuracy and gain nothing.
OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool",
    "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
Type = Literal["int8", "uint8"]


def quantize_static(
    fp32: Path,
    feeds: Feeds,
    form: Literal["qdq", "qoperator"],
    known: Ranges,
    *,
    scheme: str,
    method: Method,
    per_channel: bool,
    reduce_range: bool,
    activations: Type,
    weights: Type,
) -> bytes:
    """The file, its operators between QuantizeLinear and DequantizeLinear (qdq) or replaced by 8-bit ones (qoperator).

    feeds: float32 (N, ...) by input name, what the ranges of the activations are taken from, but for those that are
    known. scheme: what errors call
    this.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: the quantizer fails on the model, or the samples do not fill one batch of a model with a fixed one.
    """
    ir_version = load_model(fp32).ir_version
    with _failures(scheme), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"  # constants and batch norms folded, every shape inferred
        # symbolic shapes are for transformers, and would need sympy
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        ranges = activation_ranges(prepared, feeds, method, OPERATORS)
        for name, (low, high) in known.items():
            ranges[name] = TensorData(lowest=np.float32(low), highest=np.float32(high))
        model = onnx.load(prepared)
    choices: dict[str, Any] = {
        "per_channel": per_channel,
        "reduce_range": reduce_range,
        "weight_qType": TYPES[weights],
        "activation_qType": TYPES[activations],
        "tensors_range": ranges,
        "nodes_to_quantize": [],
        "nodes_to_exclude": [],
        "op_types_to_quantize": list(OPERATORS),
        "extra_options": {},
    }
    with _failures(scheme):
        quantizer = (
            QDQQuantizer(model, **choices)
            if form == "qdq"
            else ONNXQuantizer(model, mode=QuantizationMode.QLinearOps, static=True, **choices)
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    quantized: onnx.ModelProto = quantizer.model.model
    for output in quantized.graph.output:
        _leave_float(quantized.graph, output.name)
    quantized.ir_version = ir_version
    slim(quantized)
    content: bytes = quantized.SerializeToString(deterministic=True)
    return content


@contextmanager
def _failures(scheme: str) -> Iterator[None]:
    """Makes a StageError of whatever the quantizer raises: it promises nothing, and other candidates may ship."""
    try:
        yield
    except EdgekdError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or "no reason given"
        raise StageError(
            f"{scheme}: ONNX Runtime's quantizer fails on the model ({type(error).__name__}: {reason})",
            hint=f"`per_channel: false` helps with some operators; otherwise leave {scheme} out",
        ) from error


def _leave_float(graph: onnx.GraphProto, output: str) -> None:
    """Changes the graph: an output that a matrix product gives is no longer rounded to one of 256 values.

    The runtime's 8-bit products can give float, so this costs nothing, and close logits stay apart.
    """
    producers = {name: node for node in graph.node for name in node.output}
    dequantize = producers[output]
    if dequantize.op_type != "DequantizeLinear":
        return
    before = producers[dequantize.input[0]]
    if before.op_type == "QGemm":
        del before.input[7:]  # the scale and zero point of the output: without them it gives float
        before.output[0] = output
        graph.node.remove(dequantize)
    elif before.op_type == "QuantizeLinear":
        product = producers.get(before.input[0])
        if product is not None and product.op_type in ("Gemm", "MatMul"):
            product.output[0] = output
            graph.node.remove(before)
            graph.node.remove(dequantize)
