"""Static 8-bit quantization with ONNX Runtime's quantizers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from onnxruntime.quantization import QuantizationMode, QuantType, quant_pre_process
from onnxruntime.quantization.calibrate import TensorData
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgekd.config.layer_rule import LayerRule
from edgekd.errors import EdgekdError, StageError
from edgekd.graph.inspect import load_model
from edgekd.graph.quantization.calibrate import Calibration, activation_ranges
from edgekd.graph.quantization.layers import layers_of, left_in_float, name_layers
from edgekd.graph.quantization.stored_tables import store_tables
from edgekd.graph.slim import slim
from edgekd.temporary import temporary_folder

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows
    from edgekd.graph.device_form import Ranges

# What has an 8-bit kernel and stands between a network's convolutions; the quantizers' default adds normalisation,
# softmax and recurrent layers, where 8 bits cost accuracy and gain nothing.
OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "ConvTranspose", "Flatten", "Gemm", "GlobalAveragePool",
    "LeakyRelu", "MatMul", "MaxPool", "Mul", "Pad", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze",
    "Transpose", "Unsqueeze",
)  # fmt: skip
SQUASHING = ("Softmax", "LogSoftmax")  # what stays in float behind the logits
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
Type = Literal["int8", "uint8"]


@dataclass(frozen=True)
class Numbers:
    """How a file of 8 bits holds and computes numbers. scheme: what errors call it; form: whether its operators stand
    between QuantizeLinear and DequantizeLinear (qdq) or are replaced by 8-bit ones (qoperator)."""

    scheme: str
    form: Literal["qdq", "qoperator"]
    per_channel: bool
    reduce_range: bool
    activations: Type
    weights: Type


def quantize_static(
    fp32: Path,
    feeds: FedRows,
    known: Ranges,
    numbers: Numbers,
    calibration: Calibration,
    names: Sequence[str] = (),
    rules: Sequence[LayerRule] = (),
) -> bytes:
    """The file.

    feeds: float32 (N, ...) by input name, what the ranges of the activations are taken from, but for those that are
    known. names: of the layers with weights, in the order of the graph, which `rules` speak of; by default those that
    the file gives them.

    Raises:
        ConfigError: `fp32` is not a model, or a rule is about no layer.
        StageError: the quantizer fails on the model, or the samples do not fill one batch of a model with a fixed one.
    """
    model = prepared(fp32, numbers.scheme, names)
    floating = left_in_float([each.name for each in layers_of(model)], rules, numbers.scheme)
    ranges = calibrated(model, feeds, calibration, numbers.scheme, known)
    return finished(quantized(model, ranges, numbers, floating))


def prepared(fp32: Path, scheme: str, names: Sequence[str] = ()) -> onnx.ModelProto:
    """The fp32 model with constants and batch norms folded, every shape inferred, and its layers' nodes named.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: it cannot be prepared.
    """
    model = load_model(fp32)
    name_layers(model, names)
    with _failures(scheme), temporary_folder() as folder:
        named, path = folder / "named.onnx", folder / "prepared.onnx"
        onnx.save(model, named)
        # symbolic shapes are for transformers, and would need sympy
        quant_pre_process(named, path, skip_symbolic_shape=True)
        ready = onnx.load(path)
    ready.ir_version = model.ir_version
    return ready


def calibrated(
    model: onnx.ModelProto,
    feeds: FedRows,
    calibration: Calibration,
    scheme: str,
    known: Mapping[str, tuple[float, float]] = {},
) -> Any:
    """The range of each activation, by name; known: of inputs, where it is known without samples.

    Raises:
        StageError: the samples do not fill one batch of a model with a fixed one.
    """
    with _failures(scheme), temporary_folder() as folder:
        path = folder / "model.onnx"
        onnx.save(model, path)
        ranges = activation_ranges(path, feeds, calibration, OPERATORS)
    for name, (low, high) in known.items():
        ranges[name] = TensorData(lowest=np.float32(low), highest=np.float32(high))
    return ranges


def quantized(model: onnx.ModelProto, ranges: Any, numbers: Numbers, floating: Sequence[str] = ()) -> onnx.ModelProto:
    """A prepared model in 8 bits, its names still there; floating: the layers that stay as they are.

    Raises:
        StageError: the quantizer fails on the model.
    """
    given = onnx.ModelProto()
    given.CopyFrom(model)  # the quantizers change what they are given
    choices: dict[str, Any] = {
        "per_channel": numbers.per_channel,
        "reduce_range": numbers.reduce_range,
        "weight_qType": TYPES[numbers.weights],
        "activation_qType": TYPES[numbers.activations],
        "tensors_range": ranges,
        "nodes_to_quantize": [],
        "nodes_to_exclude": list(floating),
        "op_types_to_quantize": list(OPERATORS),
        "extra_options": {},
    }
    with _failures(numbers.scheme):
        quantizer = (
            QDQQuantizer(given, **choices)
            if numbers.form == "qdq"
            else ONNXQuantizer(given, mode=QuantizationMode.QLinearOps, static=True, **choices)
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    result: onnx.ModelProto = quantizer.model.model
    result.ir_version = model.ir_version
    for output in result.graph.output:
        _leave_float(result.graph, _logits_behind(result.graph, output.name))
    return result


def finished(model: onnx.ModelProto) -> bytes:
    """The file of a quantized model, without anything that a device does not need; changes the model."""
    store_tables(model)
    slim(model)
    content: bytes = model.SerializeToString(deterministic=True)
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


def _logits_behind(graph: onnx.GraphProto, output: str) -> str:
    """What a Softmax or its like at the end makes the output of; else the output."""
    producers = {name: node for node in graph.node for name in node.output}
    node = producers.get(output)
    if node is None or node.op_type not in SQUASHING:
        return output
    (read,) = node.input
    alone = sum(list(each.input).count(read) for each in graph.node) == 1
    return read if alone and read in producers else output


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
