"""The files that an agent sends back, checked before they are used: what comes from a device may be anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import StageError
from edgekd.records.arrays import load_arrays

HINT = "is the device's disk or memory failing? run it again"


def read_outputs(path: Path, model: str, rows: int, *, fewer: bool = False) -> NDArray[np.float32]:
    """A model's outputs (N, ...) for `rows` inputs; with `fewer` for some of them, from the first on.

    Raises:
        StageError: the file is no array of so many rows of numbers.
    """
    try:
        outputs: object = np.load(path, allow_pickle=False)
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy's reader raise anything
        what = f"what the device sent as outputs of {model} cannot be read: {_line(error)}"
        raise StageError(what, hint=HINT) from None
    if (
        not isinstance(outputs, np.ndarray)
        or outputs.dtype.kind not in "fiu"
        or outputs.ndim == 0
        or not (1 if fewer else rows) <= len(outputs) <= rows
    ):
        raise StageError(f"what the device sent as outputs of {model} is no array of {rows} rows", hint=HINT)
    return outputs


def read_integers(path: Path, columns: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """The int64 arrays of a result; columns: by name how many each has, 0 for one dimension.

    Raises:
        StageError: the file is damaged, or does not hold just these arrays.
    """
    try:
        arrays = load_arrays(path)
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy's reader raise anything
        raise StageError(f"what the device measured cannot be read: {_line(error)}", hint=HINT) from None
    for name, count in columns.items():
        array = arrays.get(name)
        shape = None if array is None or array.dtype.kind != "i" else array.shape
        if shape is None or shape[1:] != ((count,) if count else ()) or len(shape) != (2 if count else 1):
            raise StageError(f"what the device measured is damaged: {name} is missing or misshapen", hint=HINT)
    return {name: arrays[name].astype(np.int64) for name in columns}


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
