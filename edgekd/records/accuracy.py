"""Accuracy as counts: never a bare float."""

from __future__ import annotations

from edgekd.records.base import Record


class Accuracy(Record):
    correct: int
    total: int
    per_class_correct: tuple[int, ...]
    per_class_total: tuple[int, ...]

    @property
    def value(self) -> float:
        """The fraction that is right, 0 to 1."""
        return self.correct / self.total
