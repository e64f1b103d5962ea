"""measure: latency of the chosen file against the teacher and the fp32 file, side by side, on fresh loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.pipeline.stage import Context
from edgekd.records.latency import LatencyRecord
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.target_stage import TargetStage

INPUTS = 64  # validation samples that the models are fed in turn


@dataclass(frozen=True)
class MeasureStage(TargetStage):
    name = "measure"
    inputs = ("teacher", "fp32", "model", "choice", "contract", "validation")
    outputs = {"latency": "latency.json", "samples": "samples.npz"}
    records = {"latency": LatencyRecord}
    libraries = ("onnxruntime", "numpy", "scipy")
    seeded = True
    alone = True

    def identity(self) -> dict[str, JsonValue]:
        return {**super().identity(), "measure": identity(self.target.measure, without=frozenset({"screen_seconds"}))}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.harness.driver import measure
        from edgekd.stages.files import load_record, save_record
        from edgekd.stages.targets import device_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        fed = self.validation_feeds(inputs, INPUTS)
        record = measure(
            device_of(self.target),
            self.runtime,
            self.target.measure,
            self.compared(inputs, choice),
            self.compared_pairs(choice),
            context.seed,
            context.progress,
            feeds=fed.feeds,
            raw=fed.raw,
            samples=context.output("samples"),
        )
        for disturbance in record.disturbances:
            context.warn(f"{self.target.name}: {disturbance.what}")
        save_record(context.output("latency"), record.model_copy(update={"lengths": dict(fed.lengths)}))
        return " · ".join(
            f"{pair.model} {pair.speedup:.2f} times as fast as {pair.baseline}" for pair in record.comparisons
        )
