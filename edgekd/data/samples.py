"""Labelled samples, whatever kind they are of and wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue


class Rows(Protocol):
    """Samples, one a row: an array, or what gives arrays of those rows that are asked for.

    They may be more than memory holds, so whoever reads them takes a few at a time. Several threads may do so at once.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """The rows in the order asked for."""
        ...

    def __array__(self) -> NDArray[Any]:
        """All of them, in memory."""
        ...


UNLABELLED = -1


@dataclass(frozen=True)
class Chosen:
    """Some rows of others, in an order of their own: int64 (N,)."""

    samples: Rows
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.samples.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.samples.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        return self.samples[self.rows[rows]]

    def __array__(self) -> NDArray[Any]:
        return self.samples[self.rows]


@dataclass(frozen=True)
class Split:
    """samples: one a row, as the modality's `accepted` gives them; labels: int64 (N,), indices into the class names, or
    UNLABELLED."""

    samples: Rows
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Split:
        """A copy of the rows, in their order and in memory."""
        return Split(self.samples[rows], self.labels[rows])

    def only(self, rows: NDArray[np.int64]) -> Split:
        """The rows, in their order, left where they are."""
        return Split(Chosen(self.samples, rows), self.labels[rows])


@dataclass(frozen=True)
class LabelledData:
    """A whole data set: what may be learned from, what only the final validation reads, and the class names.

    reading: what was done to files that became samples and must be done on a device too: entries of the input's
    preprocessing, instead of those that the modality gives it.
    """

    train: Split
    test: Split
    classes: tuple[str, ...]
    reading: Mapping[str, JsonValue] = field(default_factory=dict)
