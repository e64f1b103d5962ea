"""How a training went; without times, so that the same training leaves the same record."""

from __future__ import annotations

from edgekd.records.base import Record


class Epoch(Record):
    """`loss` is the mean of the weighted sum over the epoch's steps; `terms` of each term without its weight."""

    epoch: int
    learning_rate: float
    loss: float
    terms: dict[str, float]
    validation_correct: int
    validation_total: int

    @property
    def validation_accuracy(self) -> float:
        """The fraction of the validation samples that is right, 0 to 1."""
        return self.validation_correct / self.validation_total


class TrainingHistory(Record):
    """Every epoch; the last one is what is kept, whichever was best.

    shards: into how many each process cut its part of a batch (batch norm saw one at a time); threads: of each of them,
    0 where it was not kept; processes: that trained together.
    """

    precision: str
    shards: int = 1
    threads: int = 0
    device: str = "cpu"
    processes: int = 1
    epochs: tuple[Epoch, ...]

    @property
    def last(self) -> Epoch:
        return self.epochs[-1]
