"""release: the gate, and on a pass the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.base import Record
from edgekd.records.bundle import SessionSettings, Source, TargetEvidence
from edgekd.records.check import Outcome, verdict
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.model import ModelFacts
from edgekd.records.network import NetworkRecord
from edgekd.records.quantized import Quantized
from edgekd.records.release import Agreement, ReleaseRecord
from edgekd.release.card import Story
from edgekd.stages.targets import device_of

AnyRecord = TypeVar("AnyRecord", bound=Record)
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
            "emulated": [target.name for target in self.targets if device_of(target).emulated],
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, save_record

        quantized = load_record(Quantized, inputs["int8_facts"])
        evidence = {target.name: self._evidence(context, target, inputs, quantized.facts) for target in self.targets}
        record = ReleaseRecord(
            verdict=verdict(tuple(check for each in evidence.values() for check in each.checks)),
            targets={name: each.outcome for name, each in evidence.items()},
            checks={name: each.checks for name, each in evidence.items()},
            agreements=self._agreements(context, inputs),
        )
        if record.verdict is Outcome.PASS:
            self._bundle(context, inputs, quantized, evidence)
        save_record(context.output("release"), record)
        return record.verdict.value

    def _evidence(
        self, context: Context, target: TargetProfile, inputs: Mapping[str, Path], facts: ModelFacts
    ) -> TargetEvidence:
        """What was found on one target; less of it, and never a pass, if it could not be reached."""
        from edgekd.release.gate import SHIPPED, accuracy_checks, cost_checks, size_checks, unreached
        from edgekd.stages.files import load_record

        def found(port: str, kind: type[AnyRecord]) -> AnyRecord | None:
            return load_record(kind, inputs[port]) if port in inputs else None

        evaluation = found(f"validate@{target.name}", Evaluation)
        latency = found(f"measure@{target.name}", LatencyRecord)
        emulated = device_of(target).emulated
        checks = () if evaluation is None else accuracy_checks(self.section, evaluation)
        if latency is None:
            checks += size_checks(target.limits, facts)
        else:
            checks += cost_checks(target.limits, latency.model(SHIPPED), latency.comparison(SHIPPED), facts)
        if evaluation is None or (latency is None and not emulated):
            checks += (unreached(),)
        if emulated and target.limits.of_times:
            context.warn(f"{target.name}: not checked, for its times are emulated: {', '.join(target.limits.of_times)}")
        return TargetEvidence(
            session=_session(target), outcome=verdict(checks), checks=checks, accuracy=evaluation, latency=latency
        )

    def _agreements(self, context: Context, inputs: Mapping[str, Path]) -> dict[str, Agreement]:
        """How the answers of the file that ships differ from target to target."""
        import numpy as np

        from edgekd.records.arrays import load_arrays
        from edgekd.release.agreement import agreement

        ports = {target.name: f"logits@{target.name}" for target in self.targets}
        logits = {
            name: load_arrays(inputs[port])["int8"].astype(np.float32) for name, port in ports.items() if port in inputs
        }
        reference = next(iter(logits), "")
        found = {
            name: agreement(reference, logits[reference], each) for name, each in logits.items() if name != reference
        }
        for name, each in found.items():
            if each.flipped:
                worst = each.flips[0]
                context.warn(
                    f"{name} and {reference} answer {each.flipped} of {each.images:,} test images differently, "
                    f"the surest of them image {worst.image} (margin {worst.margin:.3g})"
                )
        return found

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
                onnxruntime=str(golden["onnxruntime"]),
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
