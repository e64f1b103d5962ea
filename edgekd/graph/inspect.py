"""What an ONNX file holds, without running it."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # its stubs conflict with onnx's
from onnx import external_data_helper

from edgekd.errors import ConfigError
from edgekd.records.model import ModelFacts, TensorSignature

# Which input of an operator is a weight or a bias: the others of 8-bit operators are scales and zero points.
WEIGHT_POSITIONS = {
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (0, 1, 2),
    "MatMul": (0, 1),
    "Add": (0, 1),
    "Mul": (0, 1),
    "Sub": (0, 1),
    "Div": (0, 1),
    "BatchNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "PRelu": (1,),
    "Gather": (0,),
    "DequantizeLinear": (0,),
    "QLinearConv": (3, 8),
    "QGemm": (3, 6),
    "QLinearMatMul": (3,),
    "QLinearAdd": (0, 3),
    "QLinearMul": (0, 3),
}
# The oldest release seen to load and run each (by trying them); none before 1.15 was tried.
RUNTIME_OF_OPSET = {19: "1.15", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.23"}
RUNTIME_OF_IR = {9: "1.15", 10: "1.18", 11: "1.23"}


def load_model(path: Path) -> onnx.ModelProto:
    """The model with its weights, external ones too.

    Raises:
        ConfigError: no such file, not ONNX, cut short, or external data that is missing or lies outside the
            model's folder.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the model {path}: {error.strerror}") from error
    if not content:
        raise ConfigError(f"{path} is empty, not an ONNX model")
    try:
        model = onnx.load_from_string(content)
    except DecodeError:
        raise _not_onnx(path) from None
    if not model.graph.node or not model.opset_import or not model.graph.output:
        raise _not_onnx(path)
    try:
        _load_external_data(model, path)
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(f"{path}: cannot read its external data: {error}") from error
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{path} is not a valid ONNX model: {reason}") from error
    except UnicodeDecodeError:  # the checker complains about a name, and cannot say it
        raise ConfigError(f"{path} is not a valid ONNX model: a name in it is no text") from None
    return model


def describe(path: Path) -> ModelFacts:
    """What the file says about itself.

    Raises:
        ConfigError: as `load_model`.
    """
    model = load_model(path)
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    constants = {tensor.name for tensor in model.graph.initializer}
    content = path.read_bytes()
    return ModelFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        parameters=count_parameters(model),
        opset=opset,
        ir_version=model.ir_version,
        runtime=oldest_runtime(opset, model.ir_version),
        inputs=tuple(_signature(value) for value in model.graph.input if value.name not in constants),
        outputs=tuple(_signature(value) for value in model.graph.output),
        operators=dict(sorted(Counter(str(node.op_type) for node in model.graph.node).items())),
    )


def count_parameters(model: onnx.ModelProto) -> int:
    """The number of weights and biases, quantized or not; scales, zero points and shapes do not count.

    A tensor is counted for every operator that reads it: equal tensors are stored once.
    """
    sizes = {
        tensor.name: _elements(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.INT64
    }
    return sum(
        sizes.get(node.input[position], 0)
        for node in model.graph.node
        for position in WEIGHT_POSITIONS.get(node.op_type, ())
        if position < len(node.input)
    )


def oldest_runtime(opset: int, ir_version: int) -> str | None:
    """The oldest ONNX Runtime release known to load a model of this form, None when none is known."""
    by_opset = next((RUNTIME_OF_OPSET[known] for known in sorted(RUNTIME_OF_OPSET) if opset <= known), None)
    by_ir = next((RUNTIME_OF_IR[known] for known in sorted(RUNTIME_OF_IR) if ir_version <= known), None)
    if by_opset is None or by_ir is None:
        return None
    return max(by_opset, by_ir, key=lambda release: int(release.removeprefix("1.")))


def _elements(tensor: onnx.TensorProto) -> int:
    count = 1
    for dimension in tensor.dims:
        count *= dimension
    return count


def _signature(value: onnx.ValueInfoProto) -> TensorSignature:
    tensor = value.type.tensor_type
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = tuple(
        each.dim_value if each.HasField("dim_value") else str(each.dim_param or "?") for each in tensor.shape.dim
    )
    return TensorSignature(name=str(value.name), dtype=dtype, shape=shape)


def _load_external_data(model: onnx.ModelProto, path: Path) -> None:
    folder = path.resolve().parent
    for tensor in model.graph.initializer:
        if not external_data_helper.uses_external_data(tensor):
            continue
        location = external_data_helper.ExternalDataInfo(tensor).location
        file = (folder / location).resolve()
        if not file.is_relative_to(folder):
            raise ConfigError(
                f"{path}: the weights of {tensor.name!r} point to {location!r}, outside the model's folder",
                hint="keep a model's external data beside it",
            )
        if not file.is_file():
            raise ConfigError(f"{path}: its external data {location!r} is missing", hint=f"put it into {folder}")
    external_data_helper.load_external_data_for_model(model, str(folder))


def _not_onnx(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not an ONNX model, or a copy of one that was cut short")
