"""measure: latency of the exact files on the target, side by side in one measuring run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract

INPUTS = 64  # validation images that the models are fed in turn


@dataclass(frozen=True)
class MeasureStage(Stage):
    target: TargetProfile

    name = "measure"
    inputs = ("teacher", "student", "int8", "contract", "validation")
    outputs = {"latency": "latency.json", "samples": "samples.npz"}
    code = ("data/contract.py", "devices", "harness", "stages/measure.py")
    libraries = ("onnxruntime", "numpy", "scipy")
    seeded = True

    def identity(self) -> JsonValue:
        return {
            "target": self.target.name,
            "device": self.target.device.identity(),
            "runtime": identity(self.target.runtime),
            "measure": identity(self.target.measure),
        }

    def environment(self) -> dict[str, JsonValue]:
        from edgekd.stages.targets import device_of, machine_of

        return machine_of(device_of(self.target))

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.data.contract import normalise
        from edgekd.harness.driver import measure
        from edgekd.stages.files import load_images, load_record, save_record
        from edgekd.stages.targets import device_of

        contract = load_record(ModelContract, inputs["contract"])
        images = load_images(inputs["validation"]).images[:INPUTS]
        record = measure(
            device_of(self.target),
            self.target.runtime,
            self.target.measure,
            {name: inputs[name] for name in ("teacher", "student", "int8")},
            "teacher",
            context.seed,
            context.progress,
            inputs=normalise(images, contract.image),
            samples=context.output("samples"),
        )
        for disturbance in record.disturbances:
            context.warn(f"{self.target.name}: {disturbance.what}")
        save_record(context.output("latency"), record)
        return " · ".join(
            f"{pair.model} {pair.speedup:.2f} times as fast as the teacher" for pair in record.comparisons
        )
