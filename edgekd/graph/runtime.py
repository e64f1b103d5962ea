"""An ONNX file under ONNX Runtime, on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgekd.errors import StageError

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows

BATCH = 128


def load_session(
    path: Path, session: Mapping[str, str] = {}, *, optimised: Path | None = None
) -> onnxruntime.InferenceSession:
    """The loaded model; `session`: session configuration entries; `optimised`: where to save the graph that runs.

    Raises:
        StageError: the runtime refuses the model or an entry.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that a file it saves fits this machine only; that is what is asked
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    with _told(f"cannot load {path.name}"):
        for key, value in session.items():
            options.add_session_config_entry(key, value)
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def answers(
    session: onnxruntime.InferenceSession, outputs: Sequence[str] | None, feeds: Mapping[str, NDArray[Any]], name: str
) -> list[NDArray[Any]]:
    """What the model of this name gives.

    Raises:
        StageError: the runtime does not run it on these.
    """
    with _told(f"cannot run {name}"):
        found: list[NDArray[Any]] = session.run(outputs, feeds)
        return found


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # its errors have no base class of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StageError(f"ONNX Runtime {onnxruntime.__version__} {what}: {reason}") from error


def run_onnx(path: Path, feeds: FedRows, session: Mapping[str, str] = {}) -> NDArray[np.float32]:
    """The logits: float32 (N, C); feeds: float32 (N, ...) by input name; session: as for `load_session`.

    A model with a fixed batch gets its last one filled up with zeros, whose answers are dropped.

    Raises:
        StageError: the runtime refuses the model, it reads an input that `feeds` lacks, or gives another number of
            answers than of samples.
    """
    loaded = load_session(path, session)
    inputs = {each.name: each.shape for each in loaded.get_inputs()}
    for name in inputs:
        if name not in feeds:
            raise StageError(f"{path.name} reads an input {name!r}, and is given {', '.join(map(repr, feeds))}")
    (rows,) = {len(feeds[name]) for name in inputs}
    fixed = next((shape[0] for shape in inputs.values() if isinstance(shape[0], int)), None)
    size = fixed or BATCH
    logits = []
    for start in range(0, rows, size):
        batch = {name: feeds[name][start : start + size] for name in inputs}
        if fixed:
            batch = {name: _filled(array, fixed) for name, array in batch.items()}
        (found, *_) = answers(loaded, None, batch, path.name)
        given = len(next(iter(batch.values())))
        if len(found) != given:
            raise StageError(f"{path.name} gives {len(found)} answers for {given} samples")
        logits.append(found[: rows - start])
    return np.concatenate(logits)


def _filled(batch: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch
