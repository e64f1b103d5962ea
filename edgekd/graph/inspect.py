"""What an ONNX file holds, without running it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]  # its stubs conflict with onnx's
from onnx import external_data_helper

from edgekd.errors import ConfigError
from edgekd.graph.slim import graphs_of
from edgekd.reading import RefusedError, read_regular
from edgekd.records.model import ModelFacts, TensorSignature
from edgekd.visible import visible

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
    "Cast": (0,),
    "DequantizeLinear": (0,),
    "Pad": (0,),
    "QLinearConv": (3, 8),
    "QGemm": (3, 6),
    "QLinearMatMul": (3,),
    "QLinearAdd": (0, 3),
    "QLinearMul": (0, 3),
}
LARGEST_BYTES = 2**31 - 1
# The oldest release seen to load and run each (by trying them); none before 1.15 was tried.
RUNTIME_OF_OPSET = {19: "1.15", 20: "1.17", 21: "1.18", 22: "1.21", 23: "1.23"}
RUNTIME_OF_IR = {9: "1.15", 10: "1.18", 11: "1.23"}


def load_model(path: Path) -> onnx.ModelProto:
    """The model with its weights, external ones too.

    Raises:
        ConfigError: no such file, not ONNX, cut short, or external data that is missing or lies outside the
            model's folder.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model as `load_model` gives it, which no longer says where its weights came from, and those files."""
    try:
        content = read_regular(path, LARGEST_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot read the model {path}: {error.strerror or error}") from error
    except (RefusedError, ValueError) as error:
        raise ConfigError(f"{visible(str(path))} {error}") from None
    if not content:
        raise ConfigError(f"{path} is empty, not an ONNX model")
    try:
        model = onnx.load_from_string(content)
    except DecodeError:
        raise _not_onnx(path) from None
    if not model.graph.node or not model.opset_import or not model.graph.output:
        raise _not_onnx(path)
    try:
        files = _external_files(model, path)
        size = len(content) + sum((path.resolve().parent / each).stat().st_size for each in files)
        if size >= LARGEST_BYTES:
            raise ConfigError(
                f"{path}: {size:,} bytes with its external data; 2 GiB are the most that can be read",
                hint="protobuf, in which ONNX files are written, holds no more",
            )
        external_data_helper.load_external_data_for_model(model, str(path.resolve().parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConfigError(f"{path}: cannot read its external data: {error}") from error
    try:
        onnx.checker.check_model(model)
        texts = _all_texts(model.graph)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"{path} is not a valid ONNX model: {reason}") from error
    except UnicodeDecodeError:  # the checker complains about a name, and cannot say it
        texts = False
    if not texts:
        raise ConfigError(f"{path} is not a valid ONNX model: a name in it is no text")
    return model, files


def _all_texts(graph: onnx.GraphProto) -> bool:
    """Whether every name is one; of what is no UTF-8 protobuf gives the bytes."""
    for each in graphs_of(graph):
        named = [value.name for value in (*each.input, *each.output, *each.initializer, *each.value_info)]
        for node in each.node:
            named += [node.op_type, node.domain, *node.input, *node.output, *(part.name for part in node.attribute)]
        if any(isinstance(name, bytes) for name in named):
            return False
    return True


def external_files(path: Path) -> tuple[str, ...]:
    """The files that a model's weights lie in beside its own, by their paths from its folder.

    Raises:
        ConfigError: as `load_model`.
    """
    return _load(path)[1]


def describe(path: Path) -> ModelFacts:
    """What the file says about itself; `size_bytes` is with its external data, `sha256` the file's alone.

    Raises:
        ConfigError: as `load_model`.
    """
    model, files = _load(path)
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise ConfigError(f"{path} names no version of the standard operators")
    constants = {tensor.name for tensor in model.graph.initializer}
    content = path.read_bytes()
    return ModelFacts(
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content) + sum((path.resolve().parent / each).stat().st_size for each in files),
        parameters=count_parameters(model),
        opset=opset,
        ir_version=model.ir_version,
        runtime=oldest_runtime(opset, model.ir_version),
        inputs=tuple(_signature(path, value) for value in model.graph.input if value.name not in constants),
        outputs=tuple(_signature(path, value) for value in model.graph.output),
        operators=dict(sorted(Counter(str(node.op_type) for node in model.graph.node).items())),
    )


def count_parameters(model: onnx.ModelProto) -> int:
    """The number of weights and biases, quantized or not; scales, zero points, shapes and what normalises bytes do not
    count.

    A tensor is counted for every operator that reads it: equal tensors are stored once.
    """
    sizes = {
        tensor.name: _elements(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type != onnx.TensorProto.INT64
    }
    normalising = _normalising(model.graph)
    return sum(
        sizes.get(node.input[position], 0)
        for number, node in enumerate(model.graph.node)
        if number not in normalising
        for position in WEIGHT_POSITIONS.get(node.op_type, ())
        if position < len(node.input)
    )


def _normalising(graph: onnx.GraphProto) -> set[int]:
    """The places of the nodes that make normalised floats of an input of bytes."""
    raw = {value.name for value in graph.input if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    found = set()
    for number, node in enumerate(graph.node):
        if node.op_type in ("Transpose", "Cast", "Sub", "Mul") and node.input[0] in raw:
            raw.update(node.output)
            found.add(number)
    return found


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


def _signature(path: Path, value: onnx.ValueInfoProto) -> TensorSignature:
    tensor = value.type.tensor_type
    known = value.type.HasField("tensor_type") and tensor.elem_type in onnx.TensorProto.DataType.values()
    if not known or tensor.elem_type == onnx.TensorProto.UNDEFINED:
        raise ConfigError(
            f"{path}: {str(value.name)!r} is no tensor", hint="sequences, maps and optional values are not known"
        )
    dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    shape = tuple(
        each.dim_value if each.HasField("dim_value") else str(each.dim_param or "?") for each in tensor.shape.dim
    )
    return TensorSignature(name=str(value.name), dtype=dtype, shape=shape)


def _external_files(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    """They are opened by these paths here and on every device, so none may lead elsewhere."""
    folder = path.resolve().parent
    found = set()
    for tensor in _tensors(model):
        if not external_data_helper.uses_external_data(tensor):
            continue
        for location in [str(each.value) for each in tensor.external_data if each.key == "location"] or [""]:
            plain = PurePosixPath(location)
            file = folder / plain
            if plain.is_absolute() or ".." in plain.parts or not file.resolve().is_relative_to(folder):
                raise ConfigError(
                    f"{path}: the weights of {tensor.name!r} point to {location!r}, "
                    "by a path that leads outside the model's folder",
                    hint="keep a model's external data beside it, and name it by its path from there",
                )
            if not file.is_file():
                raise ConfigError(f"{path}: its external data {location!r} is missing", hint=f"put it into {folder}")
            found.add(str(plain))
    return tuple(sorted(found))


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor in a part of a model: constants, those of subgraphs and of functions."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in (value,) if isinstance(value, Message) else value:
                if isinstance(part, onnx.TensorProto):
                    yield part
                else:
                    yield from _tensors(part)


def _not_onnx(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not an ONNX model, or a copy of one that was cut short")
