"""How the values of an activation are distributed, counted as they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 8192  # 32 for each of 256 levels
COUNTED = 2**18  # values at once: the temporary arrays stay in the processor's cache


@dataclass(frozen=True)
class Seen:
    """The least and the largest value of an activation."""

    lowest: np.floating
    highest: np.floating

    def __or__(self, other: Seen) -> Seen:
        """Of both; NaN where one is."""
        return Seen(np.minimum(self.lowest, other.lowest), np.maximum(self.highest, other.highest))

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Seen:
        return cls(values.min(), values.max())

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.lowest) and np.isfinite(self.highest))


class Histogram:
    """Counts of values in bins of equal width from the least to the largest, zero included.

    Each bin is centred on a multiple of the width and one of them, `zero`, on 0: what is exactly 0 after a ReLU is kept
    apart from what is only small.

    counts: int64 (BINS,). width: of a bin, in units of the values.
    """

    def __init__(self, seen: Seen) -> None:
        self.lowest, self.highest = min(float(seen.lowest), 0.0), max(float(seen.highest), 0.0)
        # a float32 sum of index and fraction may reach the next bin: one is to spare at each end
        self.width = (self.highest - self.lowest) / (BINS - 3)
        self.zero = 1 + round(-self.lowest / self.width) if self.width else 1
        self.counts: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin: float64 (BINS,)."""
        return np.arange(-self.zero, BINS - self.zero, dtype=np.float64) * self.width

    @property
    def edges(self) -> NDArray[np.float64]:
        """Where the bins end: float64 (BINS + 1,)."""
        return (np.arange(-self.zero, BINS + 1 - self.zero, dtype=np.float64) - 0.5) * self.width

    def add(self, values: NDArray[np.floating]) -> None:
        """Counts them; none may lie outside of what the histogram was made for."""
        flat = values.reshape(-1)
        if not self.width:
            self.counts[self.zero] += flat.size
            return
        per_bin, first = np.float32(1 / self.width), np.float32(self.zero + 0.5)
        places = np.empty(min(COUNTED, flat.size), dtype=np.float32)
        for start in range(0, flat.size, COUNTED):
            some = flat[start : start + COUNTED]
            into = places[: some.size]
            np.multiply(some, per_bin, out=into)
            np.add(into, first, out=into)
            self.counts += np.bincount(into.astype(np.int32), minlength=BINS)
