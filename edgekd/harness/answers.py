"""What models answer on a device: one job for any number of them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.devices.base import Device, Workspace
from edgekd.harness.conversation import ModelRefusedError, converse
from edgekd.harness.protocol import Event, JobModel, Predicted, PredictJob, PredictModel
from edgekd.harness.replies import read_outputs
from edgekd.harness.subject import Feeds, Subject, as_subjects, job_models, put_feeds, put_raw, row_count
from edgekd.progress import Progress
from edgekd.records.runtime import RuntimeSettings


def predict(
    device: Device,
    runtime: RuntimeSettings,
    models: Mapping[str, Path | Subject],
    feeds: Feeds,
    progress: Progress,
    *,
    raw: Feeds | None = None,
    batch: int = 1,
    seconds: float | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The raw outputs float32 (N, classes) of each model for the rows of `feeds`; `raw`: the same samples for models
    that normalise them themselves.

    `batch` holds for models with a free first dimension. 1 is what a device runs; with more, other kernels run
    and round differently. With `seconds`, which all models share evenly, only the first rows may be answered: the
    same ones by every model, one batch at least.

    Raises:
        StageError: the runtime refuses a file, or an output is not finite.
        ConfigError: the feeds are not what a model takes.
    """
    with device.connect() as workspace, tempfile.TemporaryDirectory(prefix="edgekd-") as name:
        folder = Path(name)
        subjects = as_subjects(models)
        fed, fed_raw = put_feeds(workspace, folder, feeds), put_raw(workspace, folder, subjects, raw)
        parts = job_models(workspace, subjects, fed, fed_raw)
        return answers_of(workspace, folder, runtime, parts, row_count(feeds), progress, batch=batch, seconds=seconds)


def answers_of(
    workspace: Workspace,
    folder: Path,
    runtime: RuntimeSettings,
    models: Sequence[JobModel],
    rows: int,
    progress: Progress,
    *,
    batch: int,
    seconds: float | None,
) -> dict[str, NDArray[np.float32]]:
    """The raw outputs of each model for the `rows` of its file on the device; see `predict`.

    Raises:
        ModelRefusedError: the runtime refuses a file, or an output is not finite.
    """
    files = {model.name: f"outputs-{number}.npy" for number, model in enumerate(models)}
    job = PredictJob(
        runtime=runtime,
        models=tuple(PredictModel(**dict(model), result=workspace.path(files[model.name])) for model in models),
        batch=batch,
        seconds=seconds,
    )
    total, reached = rows * len(models), 0
    with progress.task("predict", total) as advance:

        def on_event(event: Event) -> None:
            nonlocal reached
            progress.stop_point()
            if isinstance(event, Predicted):
                reached += event.rows
                advance(event.rows, note=event.model)

        converse(workspace, job, on_event)
        advance(total - reached)
    fewer = seconds is not None
    found = {name: _fetch(workspace, folder, name, file, rows, fewer=fewer) for name, file in files.items()}
    common = min(map(len, found.values()))
    return {name: outputs[:common] for name, outputs in found.items()}


def _fetch(workspace: Workspace, folder: Path, model: str, file: str, rows: int, *, fewer: bool) -> NDArray[np.float32]:
    workspace.fetch(file, folder / file)
    outputs = read_outputs(folder / file, model, rows, fewer=fewer)
    finite = np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1)
    if not finite.all():
        raise ModelRefusedError(
            model,
            f"{model} returns NaN or infinity for {np.count_nonzero(~finite)} inputs, "
            f"first for number {np.flatnonzero(~finite)[0]}",
        )
    return outputs
