"""Timing many candidates: all of them shortly, then for longer those that could still be the fastest right one."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.harness.campaign import LOAD_S, Campaign
from edgekd.harness.observations import Observations
from edgekd.harness.running import Running
from edgekd.harness.subject import Feeds, Subject, job_models, put_feeds, subject_facts
from edgekd.progress import Progress
from edgekd.records.latency import Comparison, LatencyRecord, Speed
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import FP32
from edgekd.temporary import temporary_folder

LEAST_S = 1.0  # of measuring, however late a candidate dies of it and the others begin anew
FEW = 4  # so many are measured at once for the whole time
HEATS_SHARE = 0.4  # of the time
LOAD_OF_MANY_S = 0.04  # of one load, where many share the time: it is the number of loads that tells them apart


@dataclass(frozen=True)
class Times:
    """confidence: that the interval of each comparison has at least. finalists: empty where all were measured at
    once."""

    p50_s: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    confidence: float
    finalists: tuple[str, ...]


@dataclass(frozen=True)
class Stopwatch:
    """Measures candidates side by side on one device."""

    device: Device
    runtime: RuntimeSettings
    measuring: Measuring
    fed: Feeds
    progress: Progress

    def times(self, running: Running, contenders: Collection[str], seed: int) -> Times:
        """The times of all that run, and of every pair. contenders: those that may ship if they are fast.

        With many, all are measured first; those contenders that none of them surely beats by the margin
        are measured again, with the fp32 file, for the rest of the time. The error that all intervals may have is
        divided among both rounds, and in each among its pairs.
        """
        whole = self.measuring.screen_seconds
        error = 1 - self.measuring.confidence
        if len(running.subjects) <= FEW:
            record = self._round(running, seed, whole, error, LOAD_S)
            return Times(_medians(record), record.comparisons, record.confidence, ())
        heats = self._round(running, seed, HEATS_SHARE * whole, error / 2, LOAD_OF_MANY_S)
        left = finalists(heats.comparisons, [name for name in running.subjects if name in contenders], self.measuring)
        entered = Running({name: each for name, each in running.subjects.items() if name in (FP32, *left)})
        if decided(heats.comparisons, list(entered.subjects)):
            return Times(_medians(heats), heats.comparisons, heats.confidence, tuple(entered.subjects))
        final = self._round(entered, seed + 1, (1 - HEATS_SHARE) * whole, error / 2, LOAD_OF_MANY_S)
        running.refuse(entered.refused)
        measured = {frozenset((each.model, each.baseline)) for each in final.comparisons}
        others = (each for each in heats.comparisons if frozenset((each.model, each.baseline)) not in measured)
        return Times(
            {**_medians(heats), **_medians(final)},
            (*final.comparisons, *others),
            min(heats.confidence, final.confidence),
            tuple(entered.subjects),
        )

    def _round(self, running: Running, seed: int, seconds: float, error: float, load_s: float) -> LatencyRecord:
        pairs = max(1, len(running.subjects) * (len(running.subjects) - 1) // 2)
        measuring = self.measuring.model_copy(update={"confidence": 1 - error / pairs})
        return running.together(self._measurement(measuring, seed, seconds, load_s))

    def _measurement(
        self, measuring: Measuring, seed: int, seconds: float, load_s: float
    ) -> Callable[[Mapping[str, Subject]], LatencyRecord]:
        """One that ends once each candidate is decided against each other; if it has to begin anew, in the time that is
        left."""
        begun = time.monotonic()

        def take(subjects: Mapping[str, Subject]) -> LatencyRecord:
            left_s = max(min(LEAST_S, seconds), seconds - (time.monotonic() - begun))
            observations = Observations(
                {name: subject_facts(each) for name, each in subjects.items()},
                tuple(itertools.combinations(reversed(list(subjects)), 2)),
                measuring.model_copy(update={"seconds": left_s}),
                seed,
            )
            with self.device.connect() as workspace, temporary_folder() as folder:
                parts = job_models(workspace, subjects, put_feeds(workspace, folder, self.fed))
                campaign = Campaign(
                    workspace, folder, self.runtime, parts, observations, self.progress, cold_starts=0, load_s=load_s
                )
                return campaign.run(lambda record: record.decided)

        return take


def finalists(comparisons: Collection[Comparison], contenders: Collection[str], measuring: Measuring) -> list[str]:
    """The contenders that no other one surely beats by more than the margin."""
    beaten = set()
    for each in comparisons:
        for pair in (each, each.reverse()):
            if {pair.model, pair.baseline} <= set(contenders) and pair.interval is not None:
                beaten |= {pair.model} if pair.interval[0] > 1 + measuring.margin else set()
    return [name for name in contenders if name not in beaten]


def decided(comparisons: Collection[Comparison], names: Collection[str]) -> bool:
    """Whether more measuring of these would change nothing."""
    return all(each.outcome is not Speed.UNDECIDED for each in comparisons if {each.model, each.baseline} <= set(names))


def _medians(record: LatencyRecord) -> dict[str, float]:
    found = ((each.name, each.percentile(0.5)) for each in record.models)
    return {name: median.value_s for name, median in found if median is not None}
