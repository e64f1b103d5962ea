"""release: the gate, and on a pass the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.export import ExportOptions
from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import TargetProfile
from edgekd.data.modalities.base import cpp_header, read_by, shipped_contract
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.base import Record, file_digest
from edgekd.records.bundle import Source, TargetEvidence
from edgekd.records.candidate import CandidateRecord, MadeFile
from edgekd.records.check import Check, Outcome, verdict
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.optimised import OptimisedRecord
from edgekd.records.release import Agreement, ReleaseRecord
from edgekd.records.screening import ChoiceRecord, ScreeningRecord
from edgekd.stages.levers import Found, levers
from edgekd.stages.modality import feeding_identity
from edgekd.stages.target_stage import REFERENCE
from edgekd.stages.targets import device_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.release.bundle import ShippedFile

AnyRecord = TypeVar("AnyRecord", bound=Record)
DATA = ("train", "validation", "test")


@dataclass(frozen=True)
class ReleaseStage(Stage):
    """`networks`: those whose training the card tells of, at `training@NAME`. What was found on a target arrives at
    `STAGE@TARGET`, and is missing for one that could not be reached; its file at `model@TARGET`."""

    pipeline: str
    seed: int
    section: ReleaseSection
    targets: tuple[TargetProfile, ...]
    candidates: tuple[str, ...]
    networks: tuple[str, ...]
    modality: str
    export: ExportOptions

    name = "release"
    outputs = {"release": "release.json", "bundle": "bundle.zip"}
    records = {"release": ReleaseRecord}
    optional = frozenset({"bundle"})
    libraries = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        return (
            *DATA,
            "contract",
            "splits",
            *(f"candidate@{name}" for name in self.candidates),
            *(f"training@{name}" for name in self.networks),
        )

    def identity(self) -> JsonValue:
        header = cpp_header(self.modality)
        return {
            "pipeline": self.pipeline,
            "seed": self.seed,
            **identity(self.section),
            "targets": {
                target.name: {
                    "limits": identity(target.limits),
                    "runtime": identity(target.runtime),
                    "ort": target.ort,
                }
                for target in self.targets
            },
            "emulated": [target.name for target in self.targets if device_of(target).emulated],
            "modality": feeding_identity(self.modality),
            "form": [self.export.input, self.export.output],
            "header": None if header is None else file_digest(header),
        }

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        from edgekd.stages.files import load_record, save_record

        choices = {
            target.name: load_record(ChoiceRecord, inputs[f"choose@{target.name}"])
            for target in self.targets
            if f"choose@{target.name}" in inputs
        }
        made = self._made(inputs)
        checks = {}
        evidence: dict[str, TargetEvidence] = {}
        for target in self.targets:
            choice = choices.get(target.name)
            checks[target.name] = self._checks(context, target, inputs, choice, made)
            if choice is not None:
                evidence[target.name] = TargetEvidence(
                    model=choice.chosen,
                    runtime=target.runtime,
                    outcome=verdict(checks[target.name]),
                    checks=checks[target.name],
                    accuracy=_found(inputs, f"validate@{target.name}", Evaluation),
                    latency=_found(inputs, f"measure@{target.name}", LatencyRecord),
                )
        record = ReleaseRecord(
            verdict=verdict(tuple(check for each in checks.values() for check in each)),
            targets={name: verdict(each) for name, each in checks.items()},
            shipped={name: each.chosen for name, each in choices.items() if not each.unfit},
            checks=checks,
            agreements=self._agreements(context, inputs, choices),
            levers={
                name: told
                for name, each in checks.items()
                if (told := tuple(levers(_known(inputs, name, each, choices.get(name)))))
            },
        )
        if record.verdict is Outcome.PASS:
            self._bundle(context, inputs, evidence, made)
        save_record(context.output("release"), record)
        return record.verdict.value

    def _made(self, inputs: Mapping[str, Path]) -> dict[str, tuple[CandidateRecord, MadeFile]]:
        """The candidates that could be made."""
        from edgekd.stages.files import load_record

        records = (load_record(CandidateRecord, inputs[f"candidate@{name}"]) for name in self.candidates)
        return {each.name: (each, each.file) for each in records if each.file is not None}

    def _checks(
        self,
        context: Context,
        target: TargetProfile,
        inputs: Mapping[str, Path],
        choice: ChoiceRecord | None,
        made: Mapping[str, tuple[CandidateRecord, MadeFile]],
    ) -> tuple[Check, ...]:
        """Everything that one target demands; less of it, and never a pass, if it could not be reached."""
        from edgekd.release.gate import (
            accuracy_checks,
            cost_checks,
            no_candidate,
            ort_checks,
            size_checks,
            unreached,
        )

        if choice is None:
            return (unreached(),)
        if choice.unfit:
            return (no_candidate(choice.unfit),)
        facts = made[choice.chosen][1].facts
        evaluation = _found(inputs, f"validate@{target.name}", Evaluation)
        latency = _found(inputs, f"measure@{target.name}", LatencyRecord)
        emulated = device_of(target).emulated
        checks = () if evaluation is None else accuracy_checks(self.section, evaluation)
        if latency is None:
            checks += size_checks(target.limits, facts)
        else:
            pair = latency.comparison(choice.chosen, REFERENCE)
            checks += cost_checks(target.limits, latency.model(choice.chosen), pair, facts)
        optimised = _found(inputs, f"optimise@{target.name}", OptimisedRecord)
        checks += ort_checks(target.limits, None if optimised is None else optimised.ort)
        if evaluation is None or (latency is None and not emulated) or (target.ort and optimised is None):
            checks += (unreached(),)
        if emulated and target.limits.of_times:
            context.warn(f"{target.name}: not checked, for its times are emulated: {', '.join(target.limits.of_times)}")
        return checks

    def _agreements(
        self, context: Context, inputs: Mapping[str, Path], choices: Mapping[str, ChoiceRecord]
    ) -> dict[str, Agreement]:
        """How the answers of what ships on a target differ from the first that ships the same file, or, where none
        does, from the first of all."""
        import numpy as np

        from edgekd.records.arrays import load_arrays
        from edgekd.release.agreement import agreement

        reference: dict[str, str] = {}
        found = {}
        for name, choice in choices.items():
            if f"logits@{name}" not in inputs:
                continue
            other = reference.get(choice.chosen) or next(iter(reference.values()), None)
            reference.setdefault(choice.chosen, name)
            if other is None:
                continue
            expected, answered = (
                load_arrays(inputs[f"logits@{each}"])["shipped"].astype(np.float32) for each in (other, name)
            )
            files = (choices[other].chosen, choice.chosen)
            found[name] = agreement(other, expected, answered, None if files[0] == files[1] else files)
        for name, each in found.items():
            if each.flipped and each.models is None:  # two files are expected to differ, and the table says how much
                worst = each.flips[0]
                context.warn(
                    f"{name} and {each.reference} answer {each.flipped} of {each.samples:,} test samples differently, "
                    f"the surest of them sample {worst.sample} (margin {worst.margin:.3g})"
                )
        return found

    def _bundle(
        self,
        context: Context,
        inputs: Mapping[str, Path],
        evidence: dict[str, TargetEvidence],
        made: Mapping[str, tuple[CandidateRecord, MadeFile]],
    ) -> None:
        from edgekd.records.arrays import load_arrays
        from edgekd.release.archive import write_archive
        from edgekd.release.bundle import BundleInputs, OptimisedFiles, build_bundle
        from edgekd.stages.files import load_record
        from edgekd.stages.story import story

        shipped: dict[str, ShippedFile] = {}
        for target, each in evidence.items():
            if each.model not in shipped:
                shipped[each.model] = self._shipped(inputs, target, *made[each.model])
        folder = context.fresh_folder("bundle")
        contract = shipped_contract(load_record(ModelContract, inputs["contract"]), self.export)
        build_bundle(
            BundleInputs(
                name=self.pipeline,
                contract=read_by(contract, (each.made.facts for each in shipped.values())),
                models=shipped,
                targets=evidence,
                golden_samples=load_arrays(inputs[f"golden@{next(iter(evidence))}"])["samples"],
                outcome=Outcome.PASS,
                source=Source(
                    pipeline=self.pipeline,
                    seed=self.seed,
                    data={split: inputs[split].stem for split in DATA},  # a blob is named by its sha256
                    stages={port: path.stem for port, path in inputs.items() if port not in DATA},
                ),
                optimised={
                    target: OptimisedFiles(inputs.get(f"operators@{target}"), inputs.get(f"ort@{target}"))
                    for target in evidence
                },
                right={target: self._right(inputs, target) for target in evidence if f"logits@{target}" in inputs},
                story=story(inputs, self.networks, {name: each.made for name, each in shipped.items()}),
            ),
            folder,
        )
        write_archive(folder, context.output("bundle"))

    @staticmethod
    def _right(inputs: Mapping[str, Path], target: str) -> NDArray[np.bool_]:
        """Which test samples what ships on a target answers as it should, (N,)."""
        from edgekd.records.arrays import load_arrays
        from edgekd.stages.files import load_split

        answers = load_arrays(inputs[f"logits@{target}"])["shipped"].argmax(axis=1)
        right: NDArray[np.bool_] = answers == load_split(inputs["test"]).labels
        return right

    @staticmethod
    def _shipped(inputs: Mapping[str, Path], target: str, record: CandidateRecord, file: MadeFile) -> ShippedFile:
        """The file that ships on a target, with the answers that it gave there."""
        import numpy as np

        from edgekd.records.arrays import load_arrays
        from edgekd.release.bundle import ShippedFile

        golden = load_arrays(inputs[f"golden@{target}"])
        return ShippedFile(
            path=inputs[f"model@{target}"],
            scheme=record.scheme,
            made=file,
            golden_logits=golden["logits"].astype(np.float32),
            onnxruntime=str(golden["onnxruntime"]),
        )


def _known(inputs: Mapping[str, Path], target: str, checks: tuple[Check, ...], choice: ChoiceRecord | None) -> Found:
    return Found(
        checks,
        _found(inputs, f"validate@{target}", Evaluation),
        _found(inputs, f"measure@{target}", LatencyRecord),
        _found(inputs, f"screen@{target}", ScreeningRecord),
        choice,
    )


def _found(inputs: Mapping[str, Path], port: str, kind: type[AnyRecord]) -> AnyRecord | None:
    from edgekd.stages.files import load_record

    return load_record(kind, inputs[port]) if port in inputs else None
