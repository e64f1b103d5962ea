"""What models answer on a device: one job for any number of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.devices.base import Device, Workspace
from edgekd.errors import StageError
from edgekd.harness.conversation import ModelRefusedError, converse
from edgekd.harness.protocol import Cold, Event, Graph, Predicted, PredictJob, PredictModel
from edgekd.harness.replies import read_outputs
from edgekd.harness.subject import Feeds, Subject, as_subjects, job_models, put_feeds, put_raw, row_count
from edgekd.progress import Progress
from edgekd.records.runtime import RuntimeSettings
from edgekd.temporary import temporary_folder


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
    with device.connect() as workspace, temporary_folder() as folder:
        subjects = as_subjects(models)
        files = {name: f"outputs-{number}.npy" for number, name in enumerate(subjects)}
        fed, fed_raw = put_feeds(workspace, folder, feeds), put_raw(workspace, folder, subjects, raw)
        rows = row_count(feeds)
        job = PredictJob(
            runtime=runtime,
            models=tuple(
                PredictModel(**dict(model), result=workspace.path(files[model.name]))
                for model in job_models(workspace, subjects, fed, fed_raw)
            ),
            batch=batch,
            seconds=seconds,
        )
        _answer(workspace, job, rows, progress)
        fewer = seconds is not None
        found = {name: _fetch(workspace, folder, name, file, rows, fewer=fewer) for name, file in files.items()}
    common = min(map(len, found.values()))
    return {name: outputs[:common] for name, outputs in found.items()}


@dataclass(frozen=True)
class Looked:
    """What one candidate does on a device.

    logits: float32 (N, classes) of the first rows, as many as its time allowed. cold_start_s: of one start, in a
    process of its own. graph: what the runtime there makes of the file, without its large constants; None if it cannot
    be saved.
    """

    logits: NDArray[np.float32]
    cold_start_s: float
    graph: Path | None


def look_over(
    workspace: Workspace,
    folder: Path,
    runtime: RuntimeSettings,
    name: str,
    subject: Subject,
    fed: str | None,
    rows: int,
    progress: Progress,
    *,
    seconds: float,
) -> Looked:
    """One model in a process of its own, fed with the `rows` of the file `fed` on the device, one by one.

    Raises:
        ModelRefusedError: the runtime refuses the file, or an output is not finite.
    """
    result, graph = "outputs.npy", "graph.onnx"
    (model,) = job_models(workspace, {name: subject}, fed)
    job = PredictJob(
        runtime=runtime,
        models=(PredictModel(**dict(model), result=workspace.path(result), graph=workspace.path(graph)),),
        batch=1,
        seconds=seconds,
        look=True,
    )
    told = _answer(workspace, job, rows, progress)
    cold = next((each for each in told if isinstance(each, Cold)), None)
    if cold is None:
        raise StageError("the device does not say how long a start took", hint="is another program answering there?")
    logits = _fetch(workspace, folder, name, result, rows, fewer=True)
    saved = any(isinstance(each, Graph) and each.saved for each in told)
    if saved:
        workspace.fetch(graph, folder / graph)
    return Looked(logits, cold.cold_start_s, folder / graph if saved else None)


def _answer(workspace: Workspace, job: PredictJob, rows: int, progress: Progress) -> list[Event]:
    """Runs the job, shows how far it is, and gives back all that the device said."""
    total, reached = rows * len(job.models), 0
    told: list[Event] = []
    with progress.task("predict", total) as advance:

        def on_event(event: Event) -> None:
            nonlocal reached
            progress.stop_point()
            told.append(event)
            if isinstance(event, Predicted):
                reached += event.rows
                advance(event.rows, note=event.model)

        converse(workspace, job, on_event, rows=rows)
        advance(total - reached)
    return told


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
