"""Measuring at the pace of a sensor: one inference every so often, each with a deadline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config.target import Measuring
from edgekd.devices.base import Device
from edgekd.harness.disturbances import happened, standing
from edgekd.harness.environment import environment_of
from edgekd.harness.protocol import JobModel, PeriodicJob
from edgekd.harness.sets import load_orders, run_for
from edgekd.harness.statistics.percentiles import percentile
from edgekd.harness.statistics.proportion import rate_interval
from edgekd.harness.subject import Subject, as_subjects, job_models
from edgekd.harness.summary import SHARES
from edgekd.progress import Progress
from edgekd.records.latency import Percentile
from edgekd.records.pace import PeriodicModel, PeriodicRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.temporary import temporary_folder

LOAD_S = 0.5  # of one load of one model, and at least:
FRAMES_OF_LOAD = 10
SETS_IN_PROCESS = 8
COLUMNS = {"ticks": 4, "loads": 4}


def measure_periodic(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    models: Mapping[str, Path | Subject],
    period_s: float,
    deadline_s: float,
    seed: int,
    progress: Progress,
) -> PeriodicRecord:
    """How often each model misses the deadline when a frame arrives every `period_s`.

    Raises:
        StageError: the runtime refuses a model or dies of it.
        ConfigError: an input does not fit a model.
    """
    frames = max(FRAMES_OF_LOAD, round(LOAD_S / period_s))
    with device.connect() as workspace, temporary_folder() as folder:
        parts = job_models(workspace, as_subjects(models), None)

        def make_job(number: int, result: str, left_s: float) -> PeriodicJob:
            generator = np.random.default_rng([seed, number])
            return PeriodicJob(
                runtime=runtime,
                models=tuple(parts),
                sets=tuple(load_orders(generator, len(parts), SETS_IN_PROCESS)),
                process_s=max(0.0, left_s / 2),
                period_s=period_s,
                frames=frames,
                result=result,
            )

        results, seen, seconds = run_for(workspace, folder, measuring.seconds, make_job, progress, COLUMNS)
    environment = environment_of(seen)
    level = 1 - measuring.confidence
    by_load = [_by_load(results, number) for number in range(len(parts))]
    return PeriodicRecord(
        models=tuple(_model(part, loads, deadline_s, level) for part, loads in zip(parts, by_load, strict=True)),
        period_s=period_s,
        deadline_s=deadline_s,
        confidence=measuring.confidence,
        seconds=seconds,
        seed=seed,
        environment=environment,
        disturbances=(*standing(environment.machine), *happened(environment)),
    )


def _by_load(results: Sequence[Mapping[str, NDArray[np.int64]]], model: int) -> list[NDArray[np.int64]]:
    """Waiting and responding times in ns (frames, 2) of each load of one model; -1 in dropped frames."""
    found = []
    for arrays in results:
        mine = arrays["ticks"][arrays["ticks"][:, 1] == model]
        found += [mine[mine[:, 0] == number, 2:] for number in np.unique(mine[:, 0])]
    return found


def _model(model: JobModel, loads: Sequence[NDArray[np.int64]], deadline_s: float, level: float) -> PeriodicModel:
    dropped = [np.count_nonzero(load[:, 1] < 0) for load in loads]
    late = [np.count_nonzero(load[:, 1] > deadline_s * 1e9) for load in loads]
    missed = np.array(dropped) + np.array(late)
    frames = np.array([len(load) for load in loads])
    rate, interval = rate_interval(missed, frames, level)
    answered = [load[load[:, 1] >= 0] / 1e9 for load in loads]
    answered = [load for load in answered if len(load)]
    return PeriodicModel(
        name=model.name,
        session=model.session,
        loads=len(loads),
        frames=int(frames.sum()),
        missed=int(missed.sum()),
        dropped=int(sum(dropped)),
        miss_rate=rate,
        miss_rate_interval=interval,
        response=_percentiles([load[:, 1] for load in answered], level),
        waiting=_percentiles([load[:, 0] for load in answered], level),
    )


def _percentiles(loads: Sequence[NDArray[np.float64]], level: float) -> tuple[Percentile, ...]:
    found = [percentile(loads, share, level) for share in SHARES] if loads else []
    return tuple(each for each in found if each is not None)
