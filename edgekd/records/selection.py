"""What was tried out on validation samples, and what was taken."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from edgekd.records.base import Record
from edgekd.records.tried import Tried


class Trial(Tried):
    """choice: settings by their keys below `distill`."""

    choice: dict[str, JsonValue]

    @property
    def words(self) -> str:
        """The choice in one line."""
        shown = {key: f"{each:.4g}" if isinstance(each, float) else each for key, each in self.choice.items()}
        return ", ".join(f"{key} {each}" for key, each in shown.items())


class SelectionRecord(Record):
    """Every trial in the order of its training; epochs: of each."""

    kept_as: ClassVar[str] = "selection"

    epochs: int
    trials: tuple[Trial, ...]

    @property
    def finished(self) -> tuple[Trial, ...]:
        return tuple(each for each in self.trials if not each.failed)

    @property
    def best(self) -> Trial:
        """The first of those that are right most often."""
        return max(self.finished, key=lambda each: each.accuracy)
