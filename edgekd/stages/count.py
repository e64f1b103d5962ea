"""count: the instructions that each file executes for one sample on an emulated target, whose times mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.pipeline.stage import Context
from edgekd.records.instructions import InstructionRecord
from edgekd.records.runtime import RuntimeSettings
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.target_stage import TargetStage

INPUTS = 16  # validation samples that the models are fed in turn


@dataclass(frozen=True)
class CountStage(TargetStage):
    name = "count"
    inputs = ("teacher", "fp32", "model", "choice", "contract", "validation")
    outputs = {"instructions": "instructions.json"}
    records = {"instructions": InstructionRecord}
    libraries = ("onnxruntime", "numpy")

    @property
    def runtime(self) -> RuntimeSettings:
        return self.target.runtime.with_one_thread()

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of

        return {**super().environment(), "counts": device_of(self.target).counts}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.harness.counting import count_instructions
        from edgekd.stages.files import load_record, save_record
        from edgekd.stages.targets import device_of

        fed = self.validation_feeds(inputs, INPUTS)
        counts = count_instructions(
            device_of(self.target),
            self.runtime,
            self.compared(inputs, load_record(ChoiceRecord, inputs["choice"])),
            context.fresh_folder("count"),
            feeds=fed.feeds,
            raw=fed.raw,
        )
        save_record(context.output("instructions"), InstructionRecord(models=counts))
        return " · ".join(f"{name} {each.median:,} instructions" for name, each in counts.items())
