"""The answers of an ONNX file under ONNX Runtime, on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgekd.errors import StageError

BATCH = 128


def run_onnx(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logits: float32 (N, C); images: float32 (N, C, H, W), normalised.

    A model with a fixed batch gets its last one filled up with zeros, whose answers are dropped.

    Raises:
        StageError: the runtime refuses the model.
    """
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise StageError(f"ONNX Runtime {onnxruntime.__version__} cannot load {path.name}: {reason}") from error
    (model_input,) = session.get_inputs()
    fixed = model_input.shape[0] if isinstance(model_input.shape[0], int) else None
    size = fixed or BATCH
    logits = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        missing = size - len(batch) if fixed else 0
        fed = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch
        logits.append(session.run(None, {model_input.name: fed})[0][: len(batch)])
    return np.concatenate(logits)
