"""What tensors a graph makes of one sample: their shapes and types, whatever operators it is of.

ONNX's own shape inference knows no operator of another domain; ONNX Runtime's optimised graphs are full of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from edgekd.errors import StageError


@dataclass(frozen=True)
class Tensor:
    """`dtype`: float32, uint8, ..."""

    shape: tuple[int, ...]
    dtype: str


def tensors_of(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] = {}) -> dict[str, Tensor]:
    """Every tensor of the graph by its name; those inside its control flow are left out.

    The model is run once, on zeros. A free first dimension is 1, any other free one what `shapes` says of one
    sample of the input, else 1.

    Raises:
        StageError: the runtime does not run it.
    """
    graph = model.graph
    found = {
        each.name: Tensor(tuple(each.dims), helper.tensor_dtype_to_np_dtype(each.data_type).name)
        for each in graph.initializer
    }
    feeds = {}
    for value in graph.input:
        if value.name not in found:  # up to IR version 3 a constant is an input too
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            array = np.zeros(_shape(value, shapes.get(value.name, ())), dtype)
            feeds[value.name] = onnxruntime.OrtValue.ortvalue_from_numpy(array)
            found[value.name] = Tensor(array.shape, array.dtype.name)
    names = [name for node in graph.node for name in node.output if name]
    for name, value in zip(names, _run(model, names, feeds), strict=True):
        if value.is_tensor():
            kind = value.data_type().removeprefix("tensor(").removesuffix(")")
            found[name] = Tensor(tuple(value.shape()), {"float": "float32", "double": "float64"}.get(kind, kind))
    return found


def _run(
    model: onnx.ModelProto, names: list[str], feeds: Mapping[str, onnxruntime.OrtValue]
) -> list[onnxruntime.OrtValue]:
    told = onnx.ModelProto()
    told.CopyFrom(model)
    given = {each.name for each in told.graph.output}
    told.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(told.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return list(session.run_with_ort_values(names, feeds))
    except Exception as error:
        reason = " ".join(str(error).split())
        raise StageError(f"ONNX Runtime {onnxruntime.__version__} cannot run it on zeros: {reason}") from error


def _shape(value: onnx.ValueInfoProto, sample: tuple[int, ...]) -> tuple[int, ...]:
    free = (1, *sample)
    return tuple(
        each.dim_value if each.HasField("dim_value") else free[axis] if axis < len(free) else 1
        for axis, each in enumerate(value.type.tensor_type.shape.dim)
    )
