"""What many files cost on one target, measured side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekd.config.target import TargetProfile
from edgekd.harness.campaign import Campaign
from edgekd.harness.counting import count_instructions
from edgekd.harness.observations import Observations
from edgekd.harness.running import Running
from edgekd.harness.statistics.location import pseudomedian
from edgekd.harness.subject import Feeds, Subject, job_models, put_feeds, subject_facts
from edgekd.progress import Progress
from edgekd.records.latency import Interval
from edgekd.stages.targets import device_of
from edgekd.temporary import temporary_folder

LOAD_S = 0.018
"""Of one file at a stretch of a load: three blocks. More loads tell more than longer ones."""
CONFIDENCE = 0.95
"""Of the interval of one time: it says how far to trust a figure that is measured again before anything ships."""


@dataclass(frozen=True)
class Cost:
    """Of one file: seconds with their interval over `loads` fresh loads, or instructions; or why it does not run."""

    p50_s: float | None = None
    interval_s: Interval | None = None
    loads: int = 0
    instructions: int | None = None
    refused: str = ""

    @property
    def value(self) -> float | None:
        return self.p50_s if self.p50_s is not None else self.instructions


@dataclass(frozen=True)
class Stand:
    """One target, and what models are fed there."""

    target: TargetProfile
    feeds: Feeds

    @property
    def timed(self) -> bool:
        return not device_of(self.target).emulated

    @property
    def counted(self) -> bool:
        device = device_of(self.target)
        return device.emulated and bool(device.counts)

    def costs(self, subjects: Mapping[str, Subject], loads: int, seed: int, progress: Progress) -> dict[str, Cost]:
        """Of every file its time over so many fresh loads at least, with all others loaded beside it, or
        where times mean nothing the instructions that it executes; empty costs where neither can be known.

        Raises:
            TargetError: the target cannot be reached.
        """
        running = Running(dict(subjects))
        found: dict[str, Cost] = {}
        if subjects and self.timed:
            found = running.together(lambda left: self._times(left, loads, seed, progress) if left else {})
        elif subjects and self.counted:
            found = running.together(lambda left: self._counts(left) if left else {})
        refused = {name: Cost(refused=reason) for name, reason in running.refused.items()}
        return {name: Cost() for name in subjects} | found | refused

    def _counts(self, subjects: Mapping[str, Subject]) -> dict[str, Cost]:
        device, runtime = device_of(self.target), self.target.runtime
        with temporary_folder() as folder:
            counts = count_instructions(device, runtime, subjects, folder, feeds=self.feeds)
        return {name: Cost(instructions=each.median) for name, each in counts.items()}

    def _times(self, subjects: Mapping[str, Subject], loads: int, seed: int, progress: Progress) -> dict[str, Cost]:
        measuring = self.target.measure.model_copy(update={"seconds": float(loads)})
        observations = Observations({name: subject_facts(each) for name, each in subjects.items()}, (), measuring, seed)
        with device_of(self.target).connect() as workspace, temporary_folder() as folder:
            parts = job_models(workspace, subjects, put_feeds(workspace, folder, self.feeds))
            campaign = Campaign(
                workspace,
                folder,
                self.target.runtime,
                parts,
                observations,
                progress,
                cold_starts=0,
                load_s=LOAD_S,
            )
            while observations.sets < loads:
                campaign.run_process()
        return {name: _cost(observations, number) for number, name in enumerate(subjects)}


def _cost(observations: Observations, number: int) -> Cost:
    medians = [float(np.median(each.steady)) for each in observations.loads if each.model == number]
    located = pseudomedian(np.log(medians), 1 - CONFIDENCE, small=True)
    interval = None
    if located.interval is not None:
        low, high = np.exp(located.interval)
        interval = float(low), float(high)
    return Cost(float(np.exp(located.value)), interval, len(medians))
