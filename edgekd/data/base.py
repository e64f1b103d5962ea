"""What every dataset gives: images, labels, class names, and where it looks for its files."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray
from pydantic import Field

from edgekd.config.component import Component
from edgekd.progress import Progress


@dataclass(frozen=True)
class LabelledImages:
    """images: uint8 (N, H, W, C), C 1 or 3; labels: int64 (N,), indices into the class names."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> LabelledImages:
        """A copy of the rows, in their order."""
        return LabelledImages(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Images:
    """A whole data set: what may be learned from, what only the final validation reads, and the class names."""

    train: LabelledImages
    test: LabelledImages
    classes: tuple[str, ...]


class Dataset(Component):
    """The base of every dataset; `validation` is split from its training part."""

    validation: float | int = Field(
        0.1, gt=0, description="share (below 1) or number of training images kept for validation"
    )

    @abstractmethod
    def load(self, progress: Progress) -> Images:
        """The images, in an order that does not depend on the machine."""


def data_folders() -> tuple[Path, ...]:
    """Where data is looked for, in order: EDGEKD_DATA, ./data, the user's cache."""
    own = os.environ.get("EDGEKD_DATA")
    return (*((Path(own),) if own else ()), Path("data"), cache_folder() / "data")


def cache_folder() -> Path:
    """The user's cache folder of edgekd; not created here."""
    return Path(platformdirs.user_cache_dir("edgekd"))
