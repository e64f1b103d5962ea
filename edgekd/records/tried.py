"""A training that was tried to be compared with others."""

from __future__ import annotations

from edgekd.records.base import Record


class Tried(Record):
    """failed: why it came to no end, empty where it did."""

    validation_correct: int
    validation_total: int
    seconds: float
    failed: str = ""

    @property
    def accuracy(self) -> float:
        """The fraction of the validation samples that the trained network has right, 0 to 1."""
        return self.validation_correct / self.validation_total
