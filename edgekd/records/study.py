"""What a search for the student's shape tried, what came of it, and which shape it took."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from edgekd.records.base import Record
from edgekd.records.evaluation import Interval, Paired
from edgekd.records.tried import Tried


class Attempt(Tried):
    """One training of a shape. shape: its number among the entrants, from 0."""

    shape: int
    epochs: int


class Rung(Record):
    """Trainings of the same length; the best of them go on to the next rung, which begins anew."""

    epochs: int
    attempts: tuple[Attempt, ...]


class Entrant(Record):
    """A shape that was trained. shape: what stands under `student.model`."""

    shape: dict[str, JsonValue]
    parameters: int
    macs: int


class ShippingFile(Record):
    """What would ship of a shape on one target.

    correct: of `samples` validation samples. p50_s: with its interval, from one interleaved measurement of all
    finalists; None on a target whose times mean nothing. instructions: where they are counted. unfit: what of the
    budget it breaks, empty if nothing. otherwise: the candidate that `edgekd run` would choose there, where the
    target's own limits let it take a larger file; empty if it is this one.
    """

    candidate: str
    size_bytes: int
    correct: int
    samples: int
    accuracy_interval: Interval
    p50_s: float | None
    p50_interval_s: Interval | None
    instructions: int | None
    unfit: str = ""
    otherwise: str = ""

    @property
    def accuracy(self) -> float:
        return self.correct / self.samples

    @property
    def cost(self) -> float | None:
        """In seconds, or in instructions, or unknown."""
        return self.p50_s if self.p50_s is not None else self.instructions


class Finalist(Record):
    """A shape that was trained to the end. files: what would ship, by target. against_best: its answers and those of
    the most accurate finalist on the same validation samples, by target; empty for that one itself. front: no other
    finalist within the budget is as good in accuracy, cost and bytes and better in one. unfit: why it cannot be taken.
    """

    shape: int
    files: dict[str, ShippingFile]
    against_best: dict[str, Paired] = {}
    front: bool = False
    unfit: str = ""

    @property
    def accuracy(self) -> float:
        """On the target where it has the least."""
        return min((each.accuracy for each in self.files.values()), default=0.0)


class StudyRecord(Record):
    """budget: as the file has it. priced: shapes that were measured untrained; within: those among them that are
    within every target's budget. foretold: the rank correlation of capacity (the guess by which shapes are tried) and
    accuracy in the first rung; None of fewer than three. taken: the number of the entrant that is written; None if no
    finalist is within the budget. seconds: of measuring and training, the teacher's not counted.
    """

    kept_as: ClassVar[str] = "study"

    budget: dict[str, JsonValue]
    priced: int
    within: int
    entrants: tuple[Entrant, ...]
    rungs: tuple[Rung, ...]
    finalists: tuple[Finalist, ...]
    taken: int | None
    why: str
    foretold: float | None
    pricing_seconds: float
    seconds: float

    @property
    def winner(self) -> tuple[Entrant, Finalist] | None:
        if self.taken is None:
            return None
        return self.entrants[self.taken], next(each for each in self.finalists if each.shape == self.taken)
