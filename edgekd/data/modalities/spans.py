"""Boxes in images, an axis at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def spans(numbers: NDArray[np.float64], length: int, sides: int | NDArray[np.int64]) -> NDArray[np.bool]:
    """Which of `length` places lie in spans of `sides` places: bool (N, length).

    The middle of a span is at `numbers` in [0, 1) of the length, so that part of it can lie outside.
    """
    first = (np.floor(numbers * length).astype(np.int64) - sides // 2)[:, None]
    at = np.arange(length)
    inside: NDArray[np.bool] = (at >= first) & (at < first + np.reshape(sides, (-1, 1)))
    return inside
