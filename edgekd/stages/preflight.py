"""preflight: what would fail after hours of training is found before the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.networks import STUDENT
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.errors import StageError
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.splits import SplitsRecord
from edgekd.stages.evidence import told_before
from edgekd.stages.export import ExportStage
from edgekd.stages.train import TrainStage

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class PreflightStage(Stage):
    """Takes the first step of every training with fresh networks, exports the student as it is before it learned
    anything, and counts whether the test samples are enough for what the release must show.

    trainings: in their order; the samples of each arrive at `train@NAME`. export: the student's.
    """

    trainings: Sequence[TrainStage]
    export: ExportStage
    section: ReleaseSection
    targets: tuple[TargetProfile, ...]

    name = "preflight"
    outputs = {}
    seeded = True
    apart = True

    @property
    def libraries(self) -> tuple[str, ...]:
        every = (*(name for each in self.trainings for name in each.libraries), *self.export.libraries)
        return tuple(dict.fromkeys(every))

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("validation", "contract", "splits", *(f"train@{each.network.name}" for each in self.trainings))

    def identity(self) -> JsonValue:
        return {
            "trainings": {each.network.name: each.identity() for each in self.trainings},
            "export": self.export.identity(),
            "release": identity(self.section),
            "bytes": {each.name: each.limits.model_bytes for each in self.targets},
        }

    def environment(self) -> dict[str, JsonValue]:
        return {each.network.name: each.environment() for each in self.trainings}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record
        from edgekd.training.network import count_parameters

        with context.progress.task("preflight", len(self.trainings)) as advance:
            for each in self.trainings:
                given = {port: inputs[port] for port in ("validation", "contract")}
                module = each.rehearse({**given, "train": inputs[f"train@{each.network.name}"]}, context.seed)
                if each.network.name == STUDENT:
                    self._export(module, context, inputs)
                    parameters = count_parameters(module)
                advance()
        splits = load_record(SplitsRecord, inputs["splits"])
        for line in told_before(self.section, self.targets, splits, parameters):
            context.warn(line)
        return f"{len(self.trainings)} networks can be trained, the student has {parameters:,} parameters"

    def _export(self, module: nn.Module, context: Context, inputs: Mapping[str, Path]) -> None:
        """
        Raises:
            StageError: it cannot be exported, whatever it learns.
        """
        from edgekd.graph.export import export_onnx
        from edgekd.records.contract import ModelContract
        from edgekd.stages.files import load_record

        contract = load_record(ModelContract, inputs["contract"])
        try:
            export_onnx(module, contract, context.fresh_folder("untrained") / "student.onnx", self.export.options)
        except StageError as error:
            error.where = error.where or "student.model"
            raise
