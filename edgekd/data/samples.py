"""Labelled samples as arrays, whatever kind they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """samples: one a row, as the modality's `accepted` gives them; labels: int64 (N,), indices into the class names."""

    samples: NDArray[Any]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Split:
        """A copy of the rows, in their order."""
        return Split(self.samples[rows], self.labels[rows])


@dataclass(frozen=True)
class LabelledData:
    """A whole data set: what may be learned from, what only the final validation reads, and the class names."""

    train: Split
    test: Split
    classes: tuple[str, ...]
