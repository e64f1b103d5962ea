"""What a device's own runtime makes of a model, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from edgekd.devices.base import Device
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import OptimiseJob, Saved
from edgekd.harness.subject import Subject, job_models
from edgekd.records.runtime import LEVELS, Optimisation, RuntimeSettings


class Wanted(NamedTuple):
    """The model of this name after this level of optimisation, in ONNX's format or ONNX Runtime's own."""

    model: str
    level: Optimisation
    format: Literal["ONNX", "ORT"]


def levels_up_to(level: Optimisation) -> tuple[Optimisation, ...]:
    return LEVELS[: LEVELS.index(level) + 1]


def optimise(
    device: Device, runtime: RuntimeSettings, models: Mapping[str, Subject], wanted: Mapping[Path, Wanted]
) -> None:
    """Writes to each of the paths a model as the device's runtime has it after a level of optimisation.

    Raises:
        StageError: the runtime refuses a model, or cannot write what it makes of it.
        TargetError: the device cannot be reached.
    """
    with device.connect() as workspace:
        given = tuple(job_models(workspace, models, None))
        files = {path: f"saved-{number}{path.suffix}" for number, path in enumerate(wanted)}
        saved = tuple(
            Saved(model=each.model, level=each.level, format=each.format, result=workspace.path(files[path]))
            for path, each in wanted.items()
        )
        converse(workspace, OptimiseJob(runtime=runtime, models=given, saved=saved), lambda _event: None)
        for path, file in files.items():
            workspace.fetch(file, path)
