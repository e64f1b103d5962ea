"""choose: the candidate that ships on a target. A pure function of what screening saw; its output is the file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.target import TargetProfile
from edgekd.graph.quantization.choice import Objective, choose
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.screening import ChoiceRecord, ScreeningRecord


@dataclass(frozen=True)
class ChooseStage(Stage):
    """`candidates` arrive at `model@NAME`; the chosen one goes out. `allowed`: those of them that may ship."""

    target: TargetProfile
    candidates: tuple[str, ...]
    allowed: tuple[str, ...]
    objective: Objective
    max_accuracy_drop: float

    name = "choose"
    outputs = {"model": "model.onnx", "choice": "choice.json"}
    records = {"choice": ChoiceRecord}
    libraries = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("screening", *(f"model@{name}" for name in self.candidates))

    def identity(self) -> JsonValue:
        return {
            "allowed": list[JsonValue](sorted(self.allowed)),
            "objective": self.objective,
            "max_accuracy_drop": self.max_accuracy_drop,
            "margin": self.target.measure.margin,
            "max_bytes": self.target.limits.model_bytes,
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, save_record

        screening = load_record(ScreeningRecord, inputs["screening"])
        choice = choose(
            screening,
            self.allowed,
            self.objective,
            self.max_accuracy_drop,
            self.target.measure.margin,
            self.target.limits.model_bytes,
        )
        shutil.copyfile(inputs[f"model@{choice.chosen}"], context.output("model"))
        save_record(context.output("choice"), choice)
        if choice.unfit:
            return choice.unfit
        why = next(each.why for each in choice.candidates if each.ships)
        return f"{choice.chosen}: {why}"
