"""A trained network, in numbers."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.training import TrainingHistory


class NetworkRecord(Record):
    """`history` is None for a network that was loaded and not trained."""

    parameters: int
    validation_correct: int
    validation_total: int
    history: TrainingHistory | None

    @property
    def validation_accuracy(self) -> float:
        """The fraction of the validation images that is right, 0 to 1."""
        return self.validation_correct / self.validation_total
