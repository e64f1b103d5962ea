"""Predicting and measuring on a device, from the host's side.

A measurement is a row of agent processes. Each loads every model anew several times and interleaves blocks of
them; the host looks at the data at times fixed beforehand and stops when every comparison is decided.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config.target import Measuring, RuntimeSettings
from edgekd.devices.base import Device, Workspace
from edgekd.errors import StageError
from edgekd.harness.campaign import Campaign
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import Event, Predicted, PredictJob, PredictModel, job_runtime
from edgekd.harness.replies import read_outputs
from edgekd.harness.samples import save_raw
from edgekd.harness.sets import TICKS_PER_S, shown
from edgekd.harness.statistics.looks import level_of_look, next_look
from edgekd.harness.subject import Subject, as_subjects, file_facts, job_models
from edgekd.harness.summary import summarise
from edgekd.progress import Progress
from edgekd.records.latency import LatencyRecord, Percentile

SURE = 1.1  # upper over lower end of a median's interval


def predict(
    device: Device,
    runtime: RuntimeSettings,
    models: Mapping[str, Path | Subject],
    inputs: NDArray[np.float32],
    progress: Progress,
    *,
    batch: int = 1,
) -> dict[str, NDArray[np.float32]]:
    """The raw outputs float32 (N, classes) of each file for `inputs` float32 (N, C, H, W).

    `batch` holds for models with a free first dimension. 1 is what a device runs; with more, other kernels run
    and round differently.

    Raises:
        StageError: the runtime refuses a file, or an output is not finite.
    """
    with device.connect() as workspace, tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        files = {model: f"outputs-{number}.npy" for number, model in enumerate(models)}
        job = PredictJob(
            runtime=job_runtime(runtime),
            models=tuple(
                PredictModel(**dict(model), result=workspace.path(files[model.name]))
                for model in job_models(workspace, as_subjects(models), None)
            ),
            inputs=put_array(workspace, folder, inputs),
            batch=batch,
        )
        with progress.task("predict", len(inputs) * len(models)) as advance:

            def on_event(event: Event) -> None:
                if isinstance(event, Predicted):
                    advance(event.rows, note=event.model)

            converse(workspace, job, on_event)
        return {model: _fetch_outputs(workspace, folder, model, file, len(inputs)) for model, file in files.items()}


def settled(record: LatencyRecord) -> bool:
    """Whether every comparison is decided, every median known to within 5 % or so, and p90 at all: limits need it."""
    return record.decided and all(
        _width(model.percentile(0.5)) < SURE and _width(model.percentile(0.9)) < math.inf for model in record.models
    )


def _width(percentile: Percentile | None) -> float:
    """Upper over lower end of its interval; infinite without one."""
    if percentile is None or percentile.interval_s is None:
        return math.inf
    low, high = percentile.interval_s
    return high / low


def measure(
    device: Device,
    runtime: RuntimeSettings,
    measuring: Measuring,
    models: Mapping[str, Path | Subject],
    baseline: str,
    seed: int,
    progress: Progress,
    *,
    inputs: NDArray[np.float32] | None = None,
    samples: Path | None = None,
    settled: Callable[[LatencyRecord], bool] = settled,
) -> LatencyRecord:
    """The latency of each model and its ratio to the baseline's; raw samples go to the file `samples` (.npz).

    `inputs` float32 (N, ...) feeds every model that brings none of its own; its rows are cycled through. It ends
    when what has been measured is `settled`, or with the time of `measuring`.

    Raises:
        StageError: the runtime refuses a model or dies of it, or a setting does not take effect.
        ConfigError: an input does not fit a model.
    """
    subjects = as_subjects(models)
    facts = {name: file_facts(each) for name, each in subjects.items()}
    with device.connect() as workspace, tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        shared = None if inputs is None else put_array(workspace, folder, inputs)
        campaign = Campaign(
            workspace,
            folder,
            runtime,
            job_models(workspace, subjects, shared),
            seed,
            measuring.seconds,
        )
        total = round(measuring.seconds * TICKS_PER_S)
        with progress.task("measure", total) as advance:
            campaign.seen.heard = shown(progress, advance)
            ticks, looks, before = 0, 0, None
            while True:
                campaign.run_process()
                reached = min(total, round(campaign.elapsed_s * TICKS_PER_S))
                advance(reached - ticks, note=f"{campaign.sets} loads each")
                ticks = reached
                spent = 1.0 if campaign.over else campaign.elapsed_s / measuring.seconds
                if spent < next_look(before or 0.0):
                    continue
                level = level_of_look(spent, before, 1 - measuring.confidence)
                before = spent
                looks += 1
                record = summarise(campaign, facts, baseline, measuring, level, looks)
                if (campaign.representative and settled(record)) or spent >= 1.0:
                    break
            for number in campaign.missing_cold_starts:
                campaign.run_cold_start(number)
            record = summarise(campaign, facts, baseline, measuring, level, looks)
            advance(total - ticks)
        if samples is not None:
            save_raw(samples, campaign.processes, list(subjects))
    return record


def put_array(workspace: Workspace, folder: Path, array: NDArray[np.float32]) -> str:
    """The path on the device of an array that models are fed."""
    path = folder / "inputs.npy"
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    return workspace.put(path)


def _fetch_outputs(workspace: Workspace, folder: Path, model: str, file: str, rows: int) -> NDArray[np.float32]:
    workspace.fetch(file, folder / file)
    outputs = read_outputs(folder / file, model, rows)
    finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if not finite.all():
        raise StageError(
            f"{model} returns NaN or infinity for {np.count_nonzero(~finite)} inputs, "
            f"first for number {np.flatnonzero(~finite)[0]}"
        )
    return outputs
