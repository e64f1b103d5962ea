"""Any ONNX classification model, brought into the form that candidates are made of.

One file with its weights inside, constants as initializers, float32, operator set 13 or newer, and one output: the
scores of the classes (N, C), before or after a softmax. Its inputs keep their names, shapes and, but for float16, their
types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, inliner, numpy_helper, version_converter

from edgekd.errors import ConfigError, words_of
from edgekd.graph.adopt import keep_output
from edgekd.graph.dry_run import tensors_of
from edgekd.graph.inspect import load_model
from edgekd.graph.slim import graphs_of

OLDEST_OPSET = 13  # of DequantizeLinear with a scale for each channel
LARGEST_BYTES = 2**31 - 1  # protobuf's limit for one message
QUANTIZED = frozenset({
    "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "MatMulInteger",
    "MatMulIntegerToFloat", "MatMulNBits", "QAttention", "QGemm", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
})  # fmt: skip


@dataclass(frozen=True)
class Opened:
    """A model in standard form; `changes`: what was done for it, in words."""

    model: onnx.ModelProto
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Scores:
    """The output that is kept; `dropped`: the others."""

    output: str
    classes: int
    dropped: tuple[str, ...]


def opened(file: Path) -> Opened:
    """The model, all of it but the choice of its output.

    Raises:
        ConfigError: it cannot be read, is quantized already, or cannot be brought into the form.
    """
    model = load_model(file)
    _require_float(model, file)
    _require_whole(model.graph, file)
    changes = []
    if model.functions:
        model = inliner.inline_local_functions(model)
        changes.append("functions are written out")
    _without_constant_inputs(model.graph)
    model.ir_version = max(4, model.ir_version)  # from here on initializers need not be inputs
    _constants_as_initializers(model.graph)
    _free_what_is_open(model.graph)
    if _in_float32(model):
        changes.append(
            "float16 is made float32, inputs and output too: fp32 is that, and fp16_weights as small as before"
        )
    version = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if version < OLDEST_OPSET:
        model = _upgraded(model, version, file)
        changes.append(f"operator set {version} is made {OLDEST_OPSET}")
    # what its operators need, which is less than exporters stamp
    model.ir_version = max(4, onnx.helper.find_min_ir_version_for(list(model.opset_import), ignore_unknown=True))
    if model.ByteSize() > LARGEST_BYTES:
        raise ConfigError(f"{file}: {model.ByteSize():,} bytes; more than 2 GB do not fit into one ONNX file")
    return Opened(model, tuple(changes))


def keep_scores(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], wanted: str | None, file: Path
) -> Scores:
    """Changes the model: the scores of the classes are its only output; by default the first of type float and shape
    (N, C).

    shapes: of one sample of each input.

    Raises:
        ConfigError: there is none, or `wanted` is none.
        StageError: the runtime does not run the model.
    """
    names = [str(each.name) for each in model.graph.output]
    if wanted is not None and wanted not in names:
        raise ConfigError(f"--output {wanted}: {file.name} has {', '.join(names)}")
    tensors = tensors_of(model, shapes)
    batch = next((each.type.tensor_type.shape.dim[0].dim_value for each in model.graph.input), 0) or 1
    told = []
    for name in names if wanted is None else [wanted]:
        found = tensors.get(name)
        if found is None:
            told.append(f"{name} is no tensor")
        elif found.dtype != "float32" or len(found.shape) != 2 or found.shape[0] != batch or found.shape[1] < 2:
            told.append(f"{name} is {found.dtype} {list(found.shape)}")
        else:
            if len(names) > 1:
                keep_output(model.graph, name)
            return Scores(name, found.shape[1], tuple(each for each in names if each != name))
    raise ConfigError(
        f"{file.name} is no classifier: for one batch of {batch} {', '.join(told)}",
        hint="an output must be float32 [N, C], a score for each of two classes or more",
    )


def fix_batch(graph: onnx.GraphProto) -> None:
    """Changes the graph: it takes and gives one sample at a time."""
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = 1


def _require_float(model: onnx.ModelProto, file: Path) -> None:
    bodies = [model.graph, *(onnx.GraphProto(node=each.node) for each in model.functions)]
    counts = Counter(node.op_type for body in bodies for graph in graphs_of(body) for node in graph.node)
    found = [f"{count} {name}" for name, count in sorted(counts.items()) if name in QUANTIZED]
    if found:
        raise ConfigError(
            f"{file} is quantized already: it has {', '.join(found)}", hint="give the float model that it was made of"
        )
    if any(tensor.data_type == TensorProto.BFLOAT16 for tensor in model.graph.initializer):
        raise ConfigError(f"{file} has bfloat16 weights", hint="export it in float32 or float16")


def _require_whole(graph: onnx.GraphProto, file: Path) -> None:
    """The runtime and the checker let a constant pass that has more bytes than its shape says."""
    for each in graphs_of(graph):
        for tensor in each.initializer:
            try:
                numpy_helper.to_array(tensor)
            except Exception as error:  # whatever NumPy says of bytes that do not fit
                told = f"the constant {tensor.name!r} cannot be read: {words_of(error)}"
                raise ConfigError(f"{file}: {told}") from error


def _without_constant_inputs(graph: onnx.GraphProto) -> None:
    """Changes the graph: up to IR version 3 initializers are inputs too."""
    constants = {tensor.name for tensor in graph.initializer}
    kept = [each for each in graph.input if each.name not in constants]
    del graph.input[:]
    graph.input.extend(kept)


def _free_what_is_open(graph: onnx.GraphProto) -> None:
    """Changes the graph: sizes below 1, as some exporters write for any, are free; shapes inside it are inferred."""
    graph.ClearField("value_info")
    for value in (*graph.input, *graph.output):
        for axis, each in enumerate(value.type.tensor_type.shape.dim):
            if each.HasField("dim_value") and each.dim_value < 1:
                each.dim_param = f"{value.name}_{axis}" if axis else "batch"


def _constants_as_initializers(graph: onnx.GraphProto) -> None:
    """Changes the graph: what Constant gives, and Identity of a constant, are initializers; some exporters have weights
    there."""
    kept, constants = [], {tensor.name: tensor for tensor in graph.initializer}
    outputs = {each.name for each in graph.output}
    for node in graph.node:
        tensor = None
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in constants:
            tensor = constants[node.input[0]]
        if tensor is None or node.output[0] in outputs:
            kept.append(node)
            continue
        made = onnx.TensorProto()
        made.CopyFrom(tensor)
        made.name = node.output[0]
        constants[made.name] = made
    del graph.node[:]
    graph.node.extend(kept)
    tensors = list(constants.values())
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _in_float32(model: onnx.ModelProto) -> bool:
    """Changes the model: whatever is float16 becomes float32; whether anything was."""
    changed = False
    for graph in graphs_of(model.graph):
        tensors = list(graph.initializer)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    tensors.append(attribute.t)
                if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
                    attribute.i = TensorProto.FLOAT
                    changed = True
        for tensor in tensors:
            if tensor.data_type == TensorProto.FLOAT16:
                values = numpy_helper.to_array(tensor).astype("float32")
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
                changed = True
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
                changed = True
    return changed


def _upgraded(model: onnx.ModelProto, version: int, file: Path) -> onnx.ModelProto:
    try:
        return version_converter.convert_version(model, OLDEST_OPSET)
    except Exception as error:  # the converter promises nothing
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{file}: operator set {version} cannot be brought to {OLDEST_OPSET}: {reason}",
            hint=f"export it again with operator set {OLDEST_OPSET} or newer",
        ) from error
