"""What became of a network that was trained in the arithmetic of its 8-bit file."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.training import TrainingHistory


class FinetunedRecord(Record):
    """steps: what was done to the file before, as for repair. before, after: validation samples right, of so many, as
    simulated in training; file: of the file, under the runtime. losses: by which it learned; learned_from: whom it
    heard. refused: why it could not be trained; the numbers are 0 then.
    """

    kept_as: ClassVar[str] = "finetuning"

    candidate: str
    network: str
    steps: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    learned_from: tuple[str, ...] = ()
    before: int = 0
    after: int = 0
    file: int = 0
    samples: int = 0
    history: TrainingHistory | None = None
    refused: str = ""

    @property
    def gap(self) -> float:
        """The accuracy of the file less the simulated one, -1 to 1."""
        return (self.file - self.after) / self.samples

    @property
    def told(self) -> str:
        """What training brought, in words."""
        if self.history is None:
            return f"cannot be made: {self.refused}"
        before, file = (f"{100 * each / self.samples:.2f}" for each in (self.before, self.file))
        first = f"{' and '.join(self.steps)}, then " if self.steps else ""
        return f"{first}trained in 8 bits for {len(self.history.epochs)} epochs: {before} -> {file} % of validation"
