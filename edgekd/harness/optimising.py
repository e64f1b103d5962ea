"""What a device's own runtime makes of a model, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from edgekd.devices.base import Device
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import OptimiseJob, Saved
from edgekd.harness.subject import Subject, job_models
from edgekd.records.runtime import Optimisation, RuntimeSettings

LEVELS: tuple[Optimisation, ...] = get_args(Optimisation)
"""From none to all, each with what the ones before it do."""


class Wanted(NamedTuple):
    """A model after this level of optimisation, in ONNX's format or ONNX Runtime's own."""

    level: Optimisation
    format: Literal["ONNX", "ORT"]


def levels_up_to(level: Optimisation) -> tuple[Optimisation, ...]:
    return LEVELS[: LEVELS.index(level) + 1]


def optimise(
    device: Device,
    runtime: RuntimeSettings,
    name: str,
    subject: Subject,
    wanted: Mapping[Path, Wanted],
) -> None:
    """Writes the model as the device's runtime has it after a level of optimisation, to each of the paths.

    name: what errors call the model.

    Raises:
        StageError: the runtime refuses the model, or cannot write what it makes of it.
        TargetError: the device cannot be reached.
    """
    with device.connect() as workspace:
        models = tuple(job_models(workspace, {name: subject}, None))
        files = {path: f"saved-{number}{path.suffix}" for number, path in enumerate(wanted)}
        saved = tuple(
            Saved(level=each.level, format=each.format, result=workspace.path(files[path]))
            for path, each in wanted.items()
        )
        converse(workspace, OptimiseJob(runtime=runtime, models=models, saved=saved), lambda _event: None)
        for path, file in files.items():
            workspace.fetch(file, path)
