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
from edgekd.records.bundle import SessionSettings, Source, TargetEvidence
from edgekd.records.check import Outcome, verdict
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.network import NetworkRecord
from edgekd.records.quantized import Quantized
from edgekd.records.release import ReleaseRecord
from edgekd.release.card import Story

LEARNED_FROM = ("train", "validation")


@dataclass(frozen=True)
class ReleaseStage(Stage):
    pipeline: str
    seed: int
    section: ReleaseSection
    targets: tuple[TargetProfile, ...]

    name = "release"
    inputs = (*LEARNED_FROM, "contract", "teacher_training", "student_training", "int8_facts", "int8", "golden")
    outputs = {"release": "release.json", "bundle": "bundle.zip"}
    optional = frozenset({"bundle"})
    code = ("release", "stages/release.py")
    libraries = ()

    def identity(self) -> JsonValue:
        return {
            "pipeline": self.pipeline,
            "seed": self.seed,
            **identity(self.section),
            "targets": {target.name: identity(target.limits) for target in self.targets},
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.release.gate import accuracy_checks, cost_checks
        from edgekd.stages.files import load_record, save_record

        quantized = load_record(Quantized, inputs["int8_facts"])
        evidence = {}
        for target in self.targets:
            evaluation = load_record(Evaluation, inputs[f"validate@{target.name}"])
            latency = load_record(LatencyRecord, inputs[f"measure@{target.name}"])
            checks = (
                *accuracy_checks(self.section, evaluation),
                *cost_checks(target.limits, latency, quantized.facts),
            )
            evidence[target.name] = TargetEvidence(
                session=_session(target),
                outcome=verdict(checks),
                checks=checks,
                accuracy=evaluation,
                latency=latency,
            )
        record = ReleaseRecord(
            verdict=verdict(tuple(check for each in evidence.values() for check in each.checks)),
            targets={name: each.outcome for name, each in evidence.items()},
            checks={name: each.checks for name, each in evidence.items()},
        )
        if record.verdict is Outcome.PASS:
            self._bundle(context, inputs, quantized, evidence)
        save_record(context.output("release"), record)
        return record.verdict.value

    def _bundle(
        self,
        context: Context,
        inputs: Mapping[str, Path],
        quantized: Quantized,
        evidence: dict[str, TargetEvidence],
    ) -> None:
        import numpy as np

        from edgekd.records.arrays import load_arrays
        from edgekd.release.archive import write_archive
        from edgekd.release.bundle import BundleInputs, build_bundle
        from edgekd.stages.files import load_record

        golden = load_arrays(inputs["golden"])
        first = next(iter(evidence.values())).latency
        assert first is not None
        folder = context.fresh_folder("bundle")
        build_bundle(
            BundleInputs(
                name=self.pipeline,
                model=inputs["int8"],
                facts=quantized.facts,
                execution=quantized.quantization.execution,
                scheme=quantized.scheme,
                contract=load_record(ModelContract, inputs["contract"]),
                outcome=Outcome.PASS,
                targets=evidence,
                golden_images=golden["images"].astype(np.uint8),
                golden_logits=golden["logits"].astype(np.float32),
                onnxruntime=first.environment.machine.onnxruntime,
                source=Source(
                    pipeline=self.pipeline,
                    seed=self.seed,
                    data={split: inputs[split].stem for split in LEARNED_FROM},  # a blob is named by its sha256
                    stages={port: path.stem for port, path in inputs.items() if port not in LEARNED_FROM},
                ),
                story=_story(inputs, quantized),
            ),
            folder,
        )
        write_archive(folder, context.output("bundle"))


def _session(target: TargetProfile) -> SessionSettings:
    runtime = target.runtime
    return SessionSettings(
        provider=runtime.provider,
        threads=runtime.threads,
        inter_op_threads=runtime.inter_op_threads,
        spinning=runtime.spinning,
        optimisation=runtime.optimisation,
        options=runtime.options,
    )


def _story(inputs: Mapping[str, Path], quantized: Quantized) -> Story:
    """What the model card says of data and training."""
    from edgekd.stages.files import count_images, load_record

    teacher = load_record(NetworkRecord, inputs["teacher_training"])
    student = load_record(NetworkRecord, inputs["student_training"])
    counts = {split: count_images(inputs[split]) for split in LEARNED_FROM}
    return Story(
        data=(
            f"{counts['train']:,} training and {counts['validation']:,} validation images, split by class.",
            "The test images were read once, for the accuracy below.",
            f"Calibration of the 8-bit ranges: {quantized.quantization.calibration_images} training images.",
        ),
        training=(
            f"Teacher: {teacher.parameters:,} parameters, {teacher.validation_accuracy:.2%} of validation right.",
            f"Student: {student.parameters:,} parameters, distilled from it, "
            f"{student.validation_accuracy:.2%} of validation right before quantization.",
        ),
        limits=(
            (
                "On an x86 processor without VNNI its 8-bit sums can overflow, and the accuracy above does not hold; "
                "quantize with reduce_range for such a device.",
            )
            if quantized.quantization.saturates_without_vnni
            else ()
        ),
    )
