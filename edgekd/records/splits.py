"""How a data set was divided, in numbers."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class SplitsRecord(Record):
    """How many samples each split has; `noun`: what many samples are called; `labelled`: how many of the training
    samples have a label, None where all do."""

    kept_as: ClassVar[str] = "splits"

    noun: str
    train: int
    validation: int
    test: int
    classes: int
    labelled: int | None = None

    @property
    def training(self) -> str:
        """The training samples in words."""
        return f"{self.train:,} training" + ("" if self.labelled is None else f" ({self.labelled:,} labelled)")
