"""Looking over all candidates on one target: how right each is, and what it costs against the fp32 file."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.harness.answers import answers_of
from edgekd.harness.campaign import Campaign
from edgekd.harness.conversation import ModelRefusedError
from edgekd.harness.counting import count_instructions
from edgekd.harness.observations import Observations
from edgekd.harness.scoring import paired
from edgekd.harness.subject import Feeds, Subject, file_facts, first_rows, job_models, put_feeds
from edgekd.progress import Progress
from edgekd.records.instructions import InstructionCount
from edgekd.records.latency import LatencyRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import FP32, Cost, Screened, ScreeningRecord

FED_ROWS = 64  # samples that are cycled through while costs are taken
LEAST_S = 1.0  # of measuring, however late a candidate dies of it and the others begin anew

Result = TypeVar("Result")


def screen(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    target: str,
    models: Mapping[str, Subject],
    feeds: Feeds,
    labels: NDArray[np.int64],
    seed: int,
    progress: Progress,
) -> ScreeningRecord:
    """Every candidate, each with its own session options: how right it is on the samples of `feeds`, as many of them
    as the time allows, and what it costs against each other; "fp32" is one of `models`.

    One that the runtime refuses or dies of is recorded so, and the others go on.

    Raises:
        StageError: that happens to the fp32 file.
        TargetError: the device cannot be reached.
    """
    begun = time.monotonic()
    running = Running(dict(models))
    right = _right_answers(device, runtime, measuring.screen_seconds, running, feeds, labels, progress)
    # one interval for each pair: all of them hold together as often as one of a measurement does
    pairs = max(1, len(models) * (len(models) - 1) // 2)
    confidence = 1 - (1 - measuring.confidence) / pairs
    cost: Cost = "time" if not device.emulated else "instructions" if device.counts else "none"
    fed = first_rows(feeds, FED_ROWS)
    times: LatencyRecord | None = None
    counts: dict[str, InstructionCount] = {}
    if cost == "time":
        split = measuring.model_copy(update={"confidence": confidence})
        times = running.together(_times(device, runtime, split, fed, seed, progress))
    elif cost == "instructions":
        counts = running.together(lambda subjects: _counts(device, runtime, subjects, fed))
    return ScreeningRecord(
        target=target,
        validation_samples=len(labels),
        cost=cost,
        seconds=time.monotonic() - begun,
        confidence=confidence,
        candidates=tuple(
            _refused(name, subject, running.refused[name])
            if name in running.refused
            else _screened(name, subject, right[name], right[FP32], times, counts)
            for name, subject in models.items()
        ),
        comparisons=() if times is None else times.comparisons,
    )


@dataclass
class Running:
    """The candidates that run there, and why the others, `refused`, do not."""

    subjects: dict[str, Subject]
    refused: dict[str, str] = field(default_factory=dict)

    def drop(self, error: ModelRefusedError) -> None:
        """
        Raises:
            ModelRefusedError: the same, if it is about no candidate that the others can do without.
        """
        if error.model == FP32 or error.model not in self.subjects:
            raise error
        del self.subjects[error.model]
        self.refused[error.model] = str(error)

    def together(self, work: Callable[[Mapping[str, Subject]], Result]) -> Result:
        """What `work` makes of all that run; it begins anew without one that it dies of."""
        while True:
            try:
                return work(self.subjects)
            except ModelRefusedError as error:
                self.drop(error)


def _right_answers(
    device: Device,
    runtime: RuntimeSettings,
    seconds: float,
    running: Running,
    feeds: Feeds,
    labels: NDArray[np.int64],
    progress: Progress,
) -> dict[str, NDArray[np.bool_]]:
    """Whether each answer is right, for each candidate from the first sample on. Each has a job of its own."""
    right = {}
    share = seconds / len(running.subjects)
    with device.connect() as workspace, tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        fed = put_feeds(workspace, folder, feeds)
        for model, subject in list(running.subjects.items()):
            alone = job_models(workspace, {model: subject}, fed)
            try:
                logits = answers_of(workspace, folder, runtime, alone, len(labels), progress, batch=1, seconds=share)[
                    model
                ]
            except ModelRefusedError as error:
                running.drop(error)
            else:
                right[model] = logits.argmax(axis=1) == labels[: len(logits)]
    return right


def _times(
    device: Device, runtime: RuntimeSettings, measuring: Measuring, fed: Feeds, seed: int, progress: Progress
) -> Callable[[Mapping[str, Subject]], LatencyRecord]:
    """A short measurement of all candidates, which ends once each is decided against each other; if it has to begin
    anew, in the time that is left."""
    begun = time.monotonic()

    def take(subjects: Mapping[str, Subject]) -> LatencyRecord:
        left_s = max(LEAST_S, measuring.screen_seconds - (time.monotonic() - begun))
        observations = Observations(
            {name: file_facts(each) for name, each in subjects.items()},
            tuple(itertools.combinations(reversed(list(subjects)), 2)),
            measuring.model_copy(update={"seconds": left_s}),
            seed,
        )
        with device.connect() as workspace, tempfile.TemporaryDirectory(prefix="edgekd-") as name:
            folder = Path(name)
            parts = job_models(workspace, subjects, put_feeds(workspace, folder, fed))
            campaign = Campaign(workspace, folder, runtime, parts, observations, progress, cold_starts=0)
            return campaign.run(lambda record: record.decided)

    return take


def _counts(
    device: Device, runtime: RuntimeSettings, subjects: Mapping[str, Subject], fed: Feeds
) -> dict[str, InstructionCount]:
    with tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        return count_instructions(device, runtime, subjects, Path(name), feeds=fed)


def _screened(
    name: str,
    subject: Subject,
    right: NDArray[np.bool_],
    fp32_right: NDArray[np.bool_],
    times: LatencyRecord | None,
    counts: Mapping[str, InstructionCount],
) -> Screened:
    common = min(len(right), len(fp32_right))
    median = None if times is None else times.model(name).percentile(0.5)
    return Screened(
        name=name,
        size_bytes=file_facts(subject).size_bytes,
        session=dict(subject.session),
        samples=len(right),
        accuracy=float(right.mean()),
        against_fp32=None if name == FP32 else paired(name, FP32, right[:common], fp32_right[:common]),
        p50_s=None if median is None else median.value_s,
        instructions=counts[name].median if name in counts else None,
    )


def _refused(name: str, subject: Subject, why: str) -> Screened:
    return Screened(
        name=name,
        size_bytes=file_facts(subject).size_bytes,
        session=dict(subject.session),
        samples=0,
        accuracy=None,
        against_fp32=None,
        p50_s=None,
        instructions=None,
        refused=why,
    )
