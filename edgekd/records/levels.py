"""Whether a file answers the same under every level of graph optimisation."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.release import Agreement
from edgekd.records.runtime import Optimisation


class LevelsRecord(Record):
    """The file that ships on a target, called `model`, on the first validation `samples`. level: the one that ships;
    agreements: of each other level with it; refused: why the file does not run under one of them."""

    kept_as: ClassVar[str] = "levels"

    target: str
    model: str
    level: Optimisation
    samples: int
    agreements: dict[Optimisation, Agreement]
    refused: dict[Optimisation, str] = {}

    @property
    def differs(self) -> bool:
        return any(each.flipped for each in self.agreements.values())
