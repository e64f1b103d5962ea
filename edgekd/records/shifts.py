"""How right models are under other conditions than those of the data."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.evaluation import Evaluation


class Shifted(Record):
    """What the samples were changed by, and how right every model is then."""

    amount: float
    evaluation: Evaluation


class ShiftsRecord(Record):
    """By the kind of change."""

    kept_as: ClassVar[str] = "shifts"

    target: str
    shifts: dict[str, Shifted]
