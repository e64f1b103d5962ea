"""A trained network, in numbers."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.training import TrainingHistory


class StartRecord(Record):
    """What a network took of the one that it started from, before it was trained.

    tensors: how many it has; fresh: those that it did not take, by name, each with the reason.
    """

    network: str
    tensors: int
    fresh: dict[str, str] = {}

    def __str__(self) -> str:
        return f"{self.tensors - len(self.fresh)} of {self.tensors} tensors from {self.network}"


class ReuseRecord(Record):
    """What it costs to end in another network's classifier, in parameters.

    projector: of the projector, which ships; classifier: of the classifier, which is frozen; without: of the same
    network with a classifier of its own and no projector.
    """

    network: str
    projector: int
    classifier: int
    without: int

    def __str__(self) -> str:
        return (
            f"classifier of {self.network}, for a projector of {self.projector:,} parameters "
            f"({self.without:,} in all without reuse)"
        )


class PeerRecord(Record):
    """A network that was trained together with another one and not kept: what it reached in the end."""

    parameters: int
    validation_correct: int
    validation_total: int

    @property
    def validation_accuracy(self) -> float:
        """The fraction of the validation samples that is right, 0 to 1."""
        return self.validation_correct / self.validation_total


class NetworkRecord(Record):
    """`learned_from`: the networks that taught it; `peers`: those that learned beside it and taught it so, by name.
    `history` is None for one that was loaded and not trained."""

    kept_as: ClassVar[str] = "network"

    parameters: int
    validation_correct: int
    validation_total: int
    learned_from: tuple[str, ...] = ()
    peers: dict[str, PeerRecord] = {}
    started_from: StartRecord | None = None
    reused: ReuseRecord | None = None
    history: TrainingHistory | None

    @property
    def validation_accuracy(self) -> float:
        """The fraction of the validation samples that is right, 0 to 1."""
        return self.validation_correct / self.validation_total
