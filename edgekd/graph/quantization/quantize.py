"""An fp32 ONNX file as a quantized one, and what became of it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnxruntime.quantization import quant_pre_process

from edgekd.errors import StageError
from edgekd.graph.execution import execution
from edgekd.graph.inspect import load_model
from edgekd.graph.quantization.base import Scheme
from edgekd.graph.quantization.calibrate import spread
from edgekd.graph.slim import slim
from edgekd.records.model import QuantizationFacts


def quantize(scheme: Scheme, fp32: Path, images: NDArray[np.float32], out: Path) -> QuantizationFacts:
    """What was done; writes the quantized model to `out`, with the same bytes each time.

    images: float32 (N, C, H, W), normalised, of the training split; as many of them as the scheme asks for are used.

    Raises:
        ConfigError: `fp32` is not a model.
        StageError: the model has no operator that can be quantized, or the runtime refuses the result.
    """
    ir_version = load_model(fp32).ir_version
    calibration = spread(images, scheme.calibration_images)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # symbolic shapes are for transformers, and would need sympy
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        model = scheme.quantized(prepared, calibration)
    model.ir_version = ir_version
    slim(model)
    out.write_bytes(model.SerializeToString(deterministic=True))
    runs = execution(out)
    if runs.operators == runs.float_operators:
        raise StageError(
            f"{scheme.use} quantized nothing: every operator of {fp32.name} still computes in float",
            hint="8-bit kernels exist for convolutions, matrix products, pooling and additions",
        )
    return QuantizationFacts(
        calibration_images=len(calibration),
        execution=runs,
        saturates_without_vnni=_saturates_without_vnni(model.graph),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer's advice to the developer is followed already; it does not concern the user."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _saturates_without_vnni(graph: onnx.GraphProto) -> bool:
    """Whether two products of 8 bits can exceed 16: VPMADDUBSW adds them in pairs, and 255·(64+64) just fits.

    Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, PMADDUBSW.
    """
    return any(
        int(np.abs(numpy_helper.to_array(tensor).astype(np.int16)).max(initial=0)) > 64
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    )
