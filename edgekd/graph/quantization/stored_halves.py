"""Constants stored as float16 behind Cast."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.inspect import load_model
from edgekd.graph.quantization.stored_tables import row_tables
from edgekd.graph.quantization.stored_weights import output_axes, stored_otherwise

ROUNDING = 2.0**-11  # relative, of a number that float16 holds with all its digits
OVERHEAD_BYTES = 26  # at most, in a slim file: the Cast


def halve_weights(fp32: Path) -> bytes:
    """The model's file with float16 constants wherever that makes it smaller and loses nothing that counts.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: it does so nowhere.
    """
    model = load_model(fp32)
    kept_float = {value.name for value in (*model.graph.input, *model.graph.output)}
    axes = output_axes(model.graph) | dict.fromkeys(row_tables(model.graph), 1)
    nodes, tensors = [], []
    for tensor in model.graph.initializer:
        half = None
        if tensor.data_type == onnx.TensorProto.FLOAT and tensor.name not in kept_float:
            half = halved(numpy_helper.to_array(tensor), axes.get(tensor.name))
        if half is None or 2 * half.size <= OVERHEAD_BYTES:
            tensors.append(tensor)
            continue
        name = f"{tensor.name}_half"
        tensors.append(numpy_helper.from_array(half, name))
        nodes.append(helper.make_node("Cast", [name], [tensor.name], to=onnx.TensorProto.FLOAT))
    if not nodes:
        raise StageError(
            "the model has no constants that float16 holds in fewer bytes",
            hint="those with numbers beyond 65504, or too small for its digits, stay float32",
        )
    return stored_otherwise(model, nodes, tensors)


def halved(values: NDArray[np.float32], axis: int | None) -> NDArray[np.float16] | None:
    """The same in float16; None if a number is beyond its range (65504), or if it would lose digits that count.

    float16 rounds to 2⁻¹¹ of a number from 2⁻¹⁴ on, and more and more coarsely below. Of weights, where `axis` is that
    of their output channels, an error counts against the largest one of the channel, whose sum they go into; of
    anything else against the number itself.

    Source: IEEE 754-2019, binary16.
    """
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        return None
    size = np.abs(values)
    if axis is not None:
        size = size.max(axis=tuple(each for each in range(values.ndim) if each != axis), keepdims=True)
    lost = np.abs(half.astype(np.float64) - values) > ROUNDING * size.astype(np.float64)
    return None if lost.any() else half
