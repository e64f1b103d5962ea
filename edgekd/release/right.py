"""Which test samples a model answers as it should, a bit each, so that a later release is compared sample by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ConfigError
from edgekd.records.bundle import TargetEvidence


def save_right(path: Path, right: NDArray[np.bool_]) -> None:
    """right: (N,), in the order of the test samples."""
    path.parent.mkdir(exist_ok=True)
    np.save(path, np.packbits(right), allow_pickle=False)


def load_right(folder: Path, evidence: TargetEvidence) -> NDArray[np.bool_] | None:
    """(N,) of a bundle's target; None where the bundle does not hold it.

    Raises:
        ConfigError: the file is not what the evidence counted.
    """
    if evidence.right is None or evidence.accuracy is None:
        return None
    counted = evidence.accuracy.models[evidence.accuracy.shipped].accuracy
    try:
        packed = np.array(np.load(folder / evidence.right, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # noqa: BLE001 - a damaged header makes numpy's reader raise anything
        raise ConfigError(f"{folder / evidence.right} cannot be read: {type(error).__name__}") from None
    if packed.dtype != np.uint8 or packed.shape != (-(-counted.total // 8),):
        raise ConfigError(f"{folder / evidence.right} is not a bit for each of {counted.total:,} test samples")
    right = np.unpackbits(packed, count=counted.total).astype(bool)
    if int(right.sum()) != counted.correct:
        raise ConfigError(
            f"{folder / evidence.right} has {int(right.sum()):,} samples right, the manifest counts {counted.correct:,}"
        )
    return right
