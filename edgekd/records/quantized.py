"""What became of a model from elsewhere that was quantized."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgekd.records.base import Record
from edgekd.records.candidate import CandidateRecord
from edgekd.records.check import Outcome
from edgekd.records.model import ModelFacts
from edgekd.records.repair import RepairRecord
from edgekd.records.screening import FP32, ChoiceRecord, ScreeningRecord


class QuantizedRecord(Record):
    """model: its path as it was given; facts: what that file says. output: the one that is kept, of `classes` columns.
    notes: what was changed and assumed, in words. calibration, validation: how many samples each, no sample in both.
    judged_by: as in `ScreeningRecord`. repairs: by candidate; screenings, choices: by target; files: by candidate, what
    was written, relative to the folder of the report."""

    kept_as: ClassVar[str] = "quantized"

    edgekd: str
    model: str
    facts: ModelFacts
    output: str
    classes: int
    notes: tuple[str, ...]
    calibration: int
    validation: int
    judged_by: Literal["labels", "fp32"]
    seed: int
    objective: str
    max_drop: float
    candidates: tuple[CandidateRecord, ...]
    repairs: dict[str, RepairRecord]
    screenings: dict[str, ScreeningRecord]
    choices: dict[str, ChoiceRecord]
    files: dict[str, str] = {}

    def most_lost(self, target: str) -> float:
        """What the file that ships there may lose as well, by the 95 % interval; 0 for the fp32 file."""
        each = self.screenings[target].candidate(self.choices[target].chosen)
        if each.name == FP32 or each.against_fp32 is None or each.accuracy_interval is None:
            return 0.0
        return each.against_fp32.drop_interval[1] if self.judged_by == "labels" else 1 - each.accuracy_interval[0]

    def outcome(self, target: str) -> Outcome:
        """Whether something may ship there, and whether the whole interval of its loss keeps the limit."""
        if self.choices[target].unfit:
            return Outcome.FAIL
        return Outcome.PASS if self.most_lost(target) <= self.max_drop else Outcome.UNDECIDED
