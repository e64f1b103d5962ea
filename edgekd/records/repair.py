"""What was tried to bring an 8-bit file within its accuracy limit."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class RepairAttempt(Record):
    """A file that was made and tried. steps: all that was done for it beyond what was asked for. seconds: to make and
    to try it. accuracy: None for one that could not be made; `failed` then says why."""

    steps: tuple[str, ...]
    accuracy: float | None
    size_bytes: int
    seconds: float
    failed: str = ""


class RepairRecord(Record):
    """Of the file that was taken: whether it keeps the limit, its accuracy, and the steps that made it, none where it
    is the file as it was asked for.

    Accuracies are of `samples` validation samples, on the machine that made the files; the limit is kept by a file that
    loses at most `max_accuracy_drop` against the fp32 one.
    """

    kept_as: ClassVar[str] = "repair"

    samples: int
    fp32_accuracy: float
    max_accuracy_drop: float
    kept: bool
    accuracy: float
    steps: tuple[str, ...]
    attempts: tuple[RepairAttempt, ...]

    @property
    def told(self) -> str:
        """What was done, and whether it was enough; empty where nothing had to be."""
        before = self.attempts[0].accuracy
        if len(self.attempts) == 1 or before is None:
            return ""
        by = " and ".join(self.steps) or "the file as it was asked for"
        reached = f"{by}: {100 * before:.2f} -> {100 * self.accuracy:.2f} % (fp32 {100 * self.fp32_accuracy:.2f} %)"
        return f"repaired by {reached}" if self.kept else f"not repaired, at best by {reached}"
