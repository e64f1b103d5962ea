"""What a device's own runtime makes of models: the graphs that run there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgekd.devices.base import Device
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import OptimiseJob, PredictModel
from edgekd.harness.subject import Subject, as_subjects, job_models
from edgekd.records.runtime import RuntimeSettings


def optimised_graphs(
    device: Device, runtime: RuntimeSettings, models: Mapping[str, Path | Subject], folder: Path
) -> dict[str, Path]:
    """An ONNX file in `folder` for each model: its graph after the optimisation that the device's runtime does at
    load.

    Raises:
        StageError: the runtime refuses a model.
        TargetError: the device cannot be reached.
    """
    files = {name: f"optimised-{number}.onnx" for number, name in enumerate(models)}
    with device.connect() as workspace:
        job = OptimiseJob(
            runtime=runtime,
            models=tuple(
                PredictModel(**dict(model), result=workspace.path(files[model.name]))
                for model in job_models(workspace, as_subjects(models), None)
            ),
        )
        converse(workspace, job, lambda _event: None)
        for file in files.values():
            workspace.fetch(file, folder / file)
    return {name: folder / file for name, file in files.items()}
