"""measure: latency of the exact files on the target, side by side in one measuring run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.pipeline.stage import Context
from edgekd.stages.target_stage import MODELS, TargetStage

INPUTS = 64  # validation images that the models are fed in turn


@dataclass(frozen=True)
class MeasureStage(TargetStage):
    name = "measure"
    inputs = (*MODELS, "contract", "validation")
    outputs = {"latency": "latency.json", "samples": "samples.npz"}
    code = ("data/contract.py", "devices", "harness", "stages/target_stage.py", "stages/measure.py")
    libraries = ("onnxruntime", "numpy", "scipy")
    seeded = True
    alone = True

    def identity(self) -> dict[str, JsonValue]:
        return {**super().identity(), "measure": identity(self.target.measure)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.harness.driver import measure
        from edgekd.stages.files import save_record
        from edgekd.stages.targets import device_of

        record = measure(
            device_of(self.target),
            self.target.runtime,
            self.target.measure,
            self.models(inputs),
            "teacher",
            context.seed,
            context.progress,
            inputs=self.validation_images(inputs, INPUTS),
            samples=context.output("samples"),
        )
        for disturbance in record.disturbances:
            context.warn(f"{self.target.name}: {disturbance.what}")
        save_record(context.output("latency"), record)
        return " · ".join(
            f"{pair.model} {pair.speedup:.2f} times as fast as the teacher" for pair in record.comparisons
        )
