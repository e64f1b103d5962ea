"""Many trials of one pipeline with other settings, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from pydantic import JsonValue

from edgekd.records.base import Record
from edgekd.records.seeds import Gain


class TrialShipped(Record):
    """What a trial chose for a target: the candidate, its bytes, the share of the validation samples that it answers
    right there (of those that it was given time for), and of the test samples, where the trial went so far."""

    candidate: str
    size_bytes: int
    validation_accuracy: float | None
    test_accuracy: float | None = None


class SweepTrial(Record):
    """One setting with one seed. failed: why it came to no end, empty where it did; what it reached before is kept.

    validation_correct, validation_total: of the student as it was trained, None if it was not. seconds: of its own
    stages, whenever they ran, without what other trials share. shipped: by target.
    """

    seed: int
    validation_correct: int | None = None
    validation_total: int | None = None
    parameters: int | None = None
    seconds: float = 0.0
    shipped: dict[str, TrialShipped] = {}
    failed: str = ""

    @property
    def accuracy(self) -> float | None:
        """Of the student on the validation samples, 0 to 1."""
        if self.validation_correct is None or not self.validation_total:
            return None
        return self.validation_correct / self.validation_total


class SweepRow(Record):
    """One setting with every seed; a setting without values is the file as it is.

    gain: what it is ahead of the first row in the student's validation accuracy, seed by seed, None for the first one
    and where fewer than two seeds can be compared; beyond_noise: whether that is real at 5 % after Holm's correction
    for so many rows. shipped_gain: by target, the same for the validation accuracy of what ships.
    """

    setting: dict[str, JsonValue]
    trials: tuple[SweepTrial, ...]
    gain: Gain | None = None
    beyond_noise: bool = False
    shipped_gain: dict[str, Gain] = {}

    @property
    def accuracies(self) -> dict[int, float]:
        """By seed."""
        return {each.seed: each.accuracy for each in self.trials if each.accuracy is not None}

    @property
    def finished(self) -> bool:
        """Whether it was tried to the end with every seed."""
        return all(not each.failed for each in self.trials)

    @property
    def mean(self) -> float | None:
        """Of the validation accuracy, over those seeds that have one."""
        return statistics.fmean(self.accuracies.values()) if self.accuracies else None

    @property
    def std(self) -> float | None:
        """Of a sample: divided by the number of seeds less one."""
        return statistics.stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None

    @property
    def failed(self) -> str:
        """Why the first of its trials that came to no end did not, empty where all did."""
        return next((each.failed for each in self.trials if each.failed), "")

    def shipped(self, target: str) -> list[TrialShipped]:
        return [each.shipped[target] for each in self.trials if target in each.shipped]


class SweepRecord(Record):
    """assignments: that all trials have in common beside the file. keys: that were tried. until: the stage that every
    trial went to. targets: by name; the first one decides among rows that are equal. rows: in the order in which they
    were proposed; the first is the one that the others are held against."""

    schema_version: int = 1
    name: str
    pipeline: str
    assignments: tuple[str, ...]
    keys: tuple[str, ...]
    sampler: str
    seeds: tuple[int, ...]
    until: str
    targets: tuple[str, ...]
    rows: tuple[SweepRow, ...]

    @property
    def ordered(self) -> tuple[SweepRow, ...]:
        """The best row first, those that came to no end last.

        By accuracy on validation samples; where the students are equal, as when only what comes after them is tried, by
        that of what ships on the first target, then by its bytes, then by the student's parameters. Of rows that are
        equal in all this the first that was proposed. Times do not decide: each trial was measured on its own, and no
        two measurements of one file are equal.
        """

        def place(row: SweepRow) -> tuple[float, ...]:
            ships = row.shipped(self.targets[0])
            return (
                not row.finished,
                -_mean(row.accuracies.values()),
                -_mean(each.validation_accuracy for each in ships),
                _mean(each.size_bytes for each in ships),
                _mean(each.parameters for each in row.trials),
            )

        return tuple(sorted(self.rows, key=place))

    @property
    def best(self) -> SweepRow | None:
        """The first row; None where none was finished."""
        first = self.ordered[0]
        return first if first.finished else None


def _mean(values: Iterable[float | None]) -> float:
    """Of those that are known, 0 where none is; without the last bits, which depend on how a sum is made up."""
    known = [each for each in values if each is not None]
    return round(statistics.fmean(known), 9) if known else 0.0
