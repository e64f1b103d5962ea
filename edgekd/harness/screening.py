"""Looking over all candidates on one target: how right each is, and what it costs against the fp32 file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.errors import StageError
from edgekd.harness.answers import look_over
from edgekd.harness.conversation import ModelRefusedError
from edgekd.harness.counting import count_instructions
from edgekd.harness.heats import Stopwatch, Times
from edgekd.harness.running import Running
from edgekd.harness.scoring import paired, wilson
from edgekd.harness.subject import Feeds, Subject, cut, first_rows, put_feeds, row_count, subject_facts
from edgekd.progress import Progress
from edgekd.records.evaluation import Paired
from edgekd.records.instructions import InstructionCount
from edgekd.records.model import Execution
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import FP32, Cost, Screened, ScreeningRecord
from edgekd.temporary import temporary_folder

FED_ROWS = 64  # samples that are cycled through while costs are taken


@dataclass(frozen=True)
class Trial:
    """A candidate to try.

    allowed: whether it may ship. executed: what the graph in a file, saved by the runtime there, executes; a StageError
    if that is not what the candidate is for. needless: why it need not be tried, from what those before it execute;
    empty if it must.
    """

    subject: Subject
    executed: Callable[[Path], Execution]
    allowed: bool = True
    needless: Callable[[Mapping[str, Execution]], str] = lambda _known: ""


@dataclass(frozen=True)
class Seen:
    """What one candidate did, when it was alone. answers: the class of each sample, from the first on."""

    answers: NDArray[np.int64]
    cold_start_s: float
    execution: Execution | None


def screen(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    target: str,
    trials: Mapping[str, Trial],
    feeds: Feeds,
    labels: NDArray[np.int64] | None,
    max_accuracy_drop: float,
    seed: int,
    progress: Progress,
    *,
    lengths: Mapping[str, int] = {},
) -> ScreeningRecord:
    """Every candidate, each with its own session options: how right it is on the samples of `feeds`, as many of them
    as the time allows, and what it costs against each other; "fp32" is one of `trials`. One that loses more than
    `max_accuracy_drop` is not timed for long. Without labels right is what the fp32 file answers there. lengths: to
    which inputs that may be shorter are cut while costs are taken.

    One that the runtime refuses, dies of or does not run as it is meant is recorded so, and the others go on.

    Raises:
        StageError: that happens to the fp32 file.
        TargetError: the device cannot be reached.
    """
    begun = time.monotonic()
    running = Running({name: each.subject for name, each in trials.items()})
    seen = _look(device, runtime, measuring.screen_seconds, running, trials, feeds, progress)
    known = seen[FP32].answers if labels is None else labels
    right = {name: _right(each.answers, known) for name, each in seen.items()}
    pairs = {name: _against_fp32(name, right) for name in running.subjects}
    contenders = [
        name
        for name, pair in pairs.items()
        if trials[name].allowed and (pair is None or pair.drop <= max_accuracy_drop)
    ]
    cost: Cost = "time" if not device.emulated else "instructions" if device.counts else "none"
    batches = [shape[0] for each in trials.values() for shape in each.subject.shapes.values()]
    few = first_rows(feeds, max((FED_ROWS, *batches)))  # one batch at least of a model whose batch is fixed
    fed = cut(few, lengths)
    times = Times({}, (), measuring.confidence, ())
    counts: dict[str, InstructionCount] = {}
    if cost == "time":
        times = Stopwatch(device, runtime, measuring, fed, progress).times(running, contenders, seed)
    elif cost == "instructions":
        counts = running.together(lambda subjects: _counts(device, runtime, subjects, fed))

    def screened(name: str) -> Screened:
        size, session = subject_facts(trials[name].subject).size_bytes, dict(trials[name].subject.session)
        if name in running.refused:
            return not_screened(name, size, session, running.refused[name])
        return Screened(
            name=name,
            size_bytes=size,
            session=session,
            samples=len(right[name]),
            accuracy=float(right[name].mean()),
            accuracy_interval=wilson(int(right[name].sum()), len(right[name])),
            against_fp32=pairs[name],
            p50_s=times.p50_s.get(name),
            instructions=counts[name].median if name in counts else None,
            cold_start_s=None if device.emulated else seen[name].cold_start_s,
            execution=seen[name].execution,
        )

    return ScreeningRecord(
        target=target,
        validation_samples=row_count(feeds),
        cost=cost,
        seconds=time.monotonic() - begun,
        confidence=times.confidence,
        candidates=tuple(map(screened, trials)),
        comparisons=times.comparisons,
        finalists=times.finalists,
        judged_by="fp32" if labels is None else "labels",
    )


def not_screened(name: str, size_bytes: int, session: dict[str, str], refused: str) -> Screened:
    """A candidate of which nothing is known but why."""
    return Screened(
        name=name,
        size_bytes=size_bytes,
        session=session,
        samples=0,
        accuracy=None,
        against_fp32=None,
        p50_s=None,
        instructions=None,
        refused=refused,
    )


def _look(
    device: Device,
    runtime: RuntimeSettings,
    seconds: float,
    running: Running,
    trials: Mapping[str, Trial],
    feeds: Feeds,
    progress: Progress,
) -> dict[str, Seen]:
    """What each candidate does, in a job of its own."""
    seen: dict[str, Seen] = {}
    share = seconds / len(running.subjects)
    with device.connect() as workspace, temporary_folder() as folder:
        fed = put_feeds(workspace, folder, feeds)
        for name, subject in list(running.subjects.items()):
            known = {each: found.execution for each, found in seen.items() if found.execution is not None}
            needless = trials[name].needless(known)
            if needless:
                running.refuse({name: needless})
                continue
            try:
                rows = row_count(feeds)
                looked = look_over(workspace, folder, runtime, name, subject, fed, rows, progress, seconds=share)
                execution = None if looked.graph is None else _executed(name, trials[name], looked.graph)
            except ModelRefusedError as error:
                running.drop(error)
            else:
                seen[name] = Seen(looked.logits.argmax(axis=1), looked.cold_start_s, execution)
    return seen


def _executed(name: str, trial: Trial, graph: Path) -> Execution:
    try:
        return trial.executed(graph)
    except StageError as error:
        raise ModelRefusedError(name, str(error)) from error


def _right(answers: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each answer is, of those that something is known of."""
    common = min(len(answers), len(known))
    found: NDArray[np.bool_] = answers[:common] == known[:common]
    return found


def _against_fp32(name: str, seen: Mapping[str, NDArray[np.bool_]]) -> Paired | None:
    if name == FP32:
        return None
    right, reference = seen[name], seen[FP32]
    common = min(len(right), len(reference))
    return paired(name, FP32, right[:common], reference[:common])


def _counts(
    device: Device, runtime: RuntimeSettings, subjects: Mapping[str, Subject], fed: Feeds
) -> dict[str, InstructionCount]:
    with temporary_folder() as folder:
        return count_instructions(device, runtime, subjects, folder, feeds=fed)
