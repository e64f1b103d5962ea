"""What shapes of the student cost on the targets before any of them is trained."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from edgekd.records.base import Record
from edgekd.records.latency import Interval


class PricedFile(Record):
    """One candidate of a shape on one target.

    p50_s, interval_s: the median time of an inference and its interval over `loads` fresh loads; None on a target whose
    times mean nothing. instructions: executed for one sample, where they are counted. predicted: what the cost model,
    fitted on other shapes alone, says of the same figure. unfit: why it is not within the budget, empty if it is.
    """

    candidate: str
    size_bytes: int
    p50_s: float | None = None
    interval_s: Interval | None = None
    loads: int = 0
    instructions: int | None = None
    predicted: float | None = None
    unfit: str = ""

    @property
    def cost(self) -> float | None:
        """In seconds or, where time means nothing, in instructions; None where neither is known."""
        return self.p50_s if self.p50_s is not None else self.instructions


class Priced(Record):
    """One shape.

    shape: what stands under `student.model`. parameters: weights and biases of its file. macs: multiply-accumulates
    of one inference as the network has them. files: by target, its candidates. unfit: why no file of it is within every
    target's budget, empty if one is.
    """

    shape: dict[str, JsonValue]
    parameters: int
    macs: int
    files: dict[str, tuple[PricedFile, ...]]
    unfit: str = ""

    def file(self, target: str, candidate: str) -> PricedFile | None:
        return next((each for each in self.files.get(target, ()) if each.candidate == candidate), None)

    def best(self, target: str) -> PricedFile | None:
        """The cheapest file there that is within the budget; None if none is."""
        fit = [each for each in self.files.get(target, ()) if not each.unfit]
        return min(fit, key=lambda each: (each.cost or 0.0, each.size_bytes), default=None)


class PredictionRecord(Record):
    """How well the cost model foretells one candidate's cost on one target.

    measured: shapes that it was asked about before they were measured, by a model that had seen none of them.
    median, p90: of its relative errors there, |predicted / measured - 1|. coefficients: the cost of one unit of each
    feature, in seconds or instructions.
    """

    target: str
    candidate: str
    measured: int
    median: float | None
    p90: float | None
    coefficients: dict[str, float]


class PricingRecord(Record):
    """sampled: shapes that were drawn; skipped: those among them that fit no budget or no input before anything is
    made, with the reason. seconds: what it took."""

    kept_as: ClassVar[str] = "pricing"

    shapes: tuple[Priced, ...]
    predictions: tuple[PredictionRecord, ...]
    skipped: dict[str, int] = {}
    seconds: float
