"""How a data set was divided, in numbers."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class SplitsRecord(Record):
    """How many samples each split has; `noun`: what many samples are called."""

    kept_as: ClassVar[str] = "splits"

    noun: str
    train: int
    validation: int
    test: int
    classes: int
