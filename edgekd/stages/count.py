"""count: the instructions that each file executes for one image on an emulated target, whose times mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.target import RuntimeSettings
from edgekd.pipeline.stage import Context
from edgekd.stages.target_stage import MODELS, TargetStage

INPUTS = 16  # validation images that the models are fed in turn


@dataclass(frozen=True)
class CountStage(TargetStage):
    name = "count"
    inputs = (*MODELS, "contract", "validation")
    outputs = {"instructions": "instructions.json"}
    code = ("data/contract.py", "devices", "harness", "stages/target_stage.py", "stages/count.py")
    libraries = ("onnxruntime", "numpy")

    @property
    def runtime(self) -> RuntimeSettings:
        return self.target.runtime.with_one_thread()

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of

        return {**super().environment(), "counts": device_of(self.target).counts}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.harness.counting import count_instructions
        from edgekd.records.instructions import InstructionRecord
        from edgekd.stages.files import save_record
        from edgekd.stages.targets import device_of

        counts = count_instructions(
            device_of(self.target),
            self.runtime,
            self.models(inputs),
            context.fresh_folder("count"),
            inputs=self.validation_images(inputs, INPUTS),
        )
        save_record(context.output("instructions"), InstructionRecord(models=counts))
        return " · ".join(f"{name} {each.median:,} instructions" for name, each in counts.items())
