"""All candidates on one target, looked over on the validation split; and which of them ships there."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgekd.records.base import Record
from edgekd.records.candidate import Caution
from edgekd.records.evaluation import Interval, Paired
from edgekd.records.latency import Comparison
from edgekd.records.model import Execution

FP32 = "fp32"
"""The candidate that the others are held against, and are made of."""

Cost = Literal["time", "instructions", "none"]


class Screened(Record):
    """One candidate.

    samples: of the validation split, as many as it answered in its time. accuracy: the share of them that it answers
    as it should, with its 95 % interval (None in records of before it was kept). against_fp32: its answers and the
    fp32 file's on those that both answered. p50_s: None on a target whose times mean nothing. instructions: executed
    for one sample, where they are counted. cold_start_s: of one start. execution: what the runtime there makes of the
    file, if it can say so. refused: why it cannot run there, need not be tried, or could not be made at all (then of 0
    bytes), in one line.
    """

    name: str
    size_bytes: int
    session: dict[str, str]
    samples: int
    accuracy: float | None
    against_fp32: Paired | None
    p50_s: float | None
    instructions: int | None
    cold_start_s: float | None = None
    execution: Execution | None = None
    refused: str = ""
    accuracy_interval: Interval | None = None


class ScreeningRecord(Record):
    """`comparisons`: the times of every pair of candidates, empty on a target whose times mean nothing; `confidence`:
    that each one's interval has at least, so that all of them hold together as often as one of a measurement does.
    `finalists`: those that had the longer measurement, because none was surely faster and right enough; empty where
    there was but one for all. `cautions`: by candidate, what the target's other devices may make of it."""

    kept_as: ClassVar[str] = "screening"

    target: str
    validation_samples: int
    cost: Cost
    seconds: float
    confidence: float
    candidates: tuple[Screened, ...]
    comparisons: tuple[Comparison, ...]
    finalists: tuple[str, ...] = ()
    cautions: dict[str, tuple[Caution, ...]] = {}
    judged_by: Literal["labels", "fp32"] = "labels"

    def candidate(self, name: str) -> Screened:
        return next(each for each in self.candidates if each.name == name)

    def comparison(self, model: str, baseline: str) -> Comparison | None:
        """The one against the other, whichever way round they were compared; None if they were not."""
        for each in self.comparisons:
            if (each.model, each.baseline) == (model, baseline):
                return each
            if (each.model, each.baseline) == (baseline, model):
                return each.reverse()
        return None


class Verdict(Record):
    """Why a candidate ships, or does not."""

    name: str
    ships: bool
    why: str


class ChoiceRecord(Record):
    """What ships on one target; `session`: the session options that belong to it.

    unfit: why nothing may ship there, empty where something does; `chosen` is the fp32 file then, which is looked at
    all the same.
    """

    kept_as: ClassVar[str] = "choice"

    target: str
    chosen: str
    session: dict[str, str]
    objective: str
    max_accuracy_drop: float
    candidates: tuple[Verdict, ...]
    unfit: str = ""
