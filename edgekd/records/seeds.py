"""How accuracy varies from one training to the next."""

from __future__ import annotations

import statistics
from typing import ClassVar, Literal

from edgekd.records.base import Record

Interval = tuple[float, float]


class Gain(Record):
    """What the student is ahead of the same student without a teacher, in accuracy, as the mean over the seeds.

    interval: 95 %, and p_value: both of Student's t for pairs.
    """

    mean: float
    std: float
    interval: Interval
    p_value: float

    @property
    def verdict(self) -> Literal["better", "worse"] | None:
        """None where the interval holds zero, so that nothing can be shown."""
        low, high = self.interval
        if low > 0:
            return "better"
        return "worse" if high < 0 else None


class SeedsRecord(Record):
    """Test accuracy of several trainings that differ in their seed alone, of one teacher.

    accuracies: by the name of the file as in `Evaluation.models`, in the order of `seeds`. gains: by file, for those
    that have an untaught counterpart. `shipped` names the file that ships, which is of the first seed.
    """

    kept_as: ClassVar[str] = "seeds"

    target: str
    shipped: str
    seeds: tuple[int, ...]
    samples: int
    accuracies: dict[str, tuple[float, ...]]
    gains: dict[str, Gain]

    def mean(self, model: str) -> float:
        return statistics.mean(self.accuracies[model])

    def std(self, model: str) -> float:
        """Of a sample: divided by the number of seeds less one."""
        return statistics.stdev(self.accuracies[model])
