"""release: the gate, and on a pass the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.check import Outcome, verdict
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.quantized import Quantized
from edgekd.records.release import ReleaseRecord


@dataclass(frozen=True)
class ReleaseStage(Stage):
    pipeline: str
    section: ReleaseSection
    targets: tuple[TargetProfile, ...]

    name = "release"
    inputs = ("contract", "validation", "teacher_training", "student_training", "export_facts", "int8_facts", "int8")
    outputs = {"release": "release.json", "bundle": "bundle.zip"}
    optional = frozenset({"bundle"})
    code = ("release", "stages/release.py")
    libraries = ()

    def identity(self) -> JsonValue:
        return {
            "pipeline": self.pipeline,
            **identity(self.section),
            "targets": {target.name: identity(target.limits) for target in self.targets},
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.release.gate import accuracy_checks, cost_checks
        from edgekd.stages.files import load_record, save_record

        facts = load_record(Quantized, inputs["int8_facts"]).facts
        checks = {}
        for target in self.targets:
            evaluation = load_record(Evaluation, inputs[f"validate@{target.name}"])
            latency = load_record(LatencyRecord, inputs[f"measure@{target.name}"])
            checks[target.name] = (
                *accuracy_checks(self.section, evaluation),
                *cost_checks(target.limits, latency, facts),
            )
        record = ReleaseRecord(
            verdict=verdict(tuple(check for each in checks.values() for check in each)),
            targets={name: verdict(each) for name, each in checks.items()},
            checks=checks,
        )
        save_record(context.output("release"), record)
        return str(record.verdict.value)
