"""validate: accuracy of the chosen file on the target, beside its fp32 file, the teacher, the control and variants.

Golden inputs for the bundle are answered in the same go; they are validation samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.config.networks import CONTROL
from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.screening import FP32, ChoiceRecord
from edgekd.stages.target_stage import REFERENCE, TargetStage, fed_in_parts

if TYPE_CHECKING:
    from edgekd.harness.subject import Subject

GOLDEN_SAMPLES = 16


@dataclass(frozen=True)
class ValidateStage(TargetStage):
    """beside: the control and the student's variants. The fp32 file of each arrives at `NAME.fp32`, and at `control`
    what was made of the control as of the chosen file."""

    beside: tuple[str, ...]

    name = "validate"
    outputs = {"evaluation": "evaluation.json", "logits": "logits.npz", "golden": "golden.npz"}
    records = {"evaluation": Evaluation}
    libraries = ("onnxruntime", "numpy", "scipy")

    @property
    def inputs(self) -> tuple[str, ...]:
        control = (CONTROL,) if CONTROL in self.beside else ()
        files = (f"{name}.{FP32}" for name in self.beside)
        return ("teacher", "fp32", "model", "choice", *control, *files, "contract", "validation", "test")

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.harness.answers import predict
        from edgekd.harness.scoring import evaluate
        from edgekd.records.arrays import save_arrays
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of, machine_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        contract = load_record(ModelContract, inputs["contract"])
        test = load_split(inputs["test"])
        golden = load_split(inputs["validation"]).samples[:GOLDEN_SAMPLES]
        models = {**self.compared(inputs, choice), **self._files_beside(inputs, choice)}
        parts = [
            predict(device_of(self.target), self.runtime, models, feeds, context.progress)
            for feeds in fed_in_parts(contract, test.samples, golden)
        ]
        answers = {name: np.concatenate([part[name] for part in parts]) for name in models}
        logits = {name: each[: len(test)] for name, each in answers.items()}
        evaluation = evaluate(
            self.target.name,
            logits,
            test.labels,
            len(contract.classes),
            reference=REFERENCE,
            shipped=choice.chosen,
            pairs=[*self.compared_pairs(choice), *self._pairs_beside(tuple(models))],
        )
        save_arrays(context.output("logits"), {**logits, "shipped": logits[choice.chosen]})
        runtime = np.array(str(machine_of(device_of(self.target))["onnxruntime"]))
        save_arrays(
            context.output("golden"),
            {"samples": golden, "logits": answers[choice.chosen][len(test) :], "onnxruntime": runtime},
        )
        save_record(context.output("evaluation"), evaluation)
        return " · ".join(f"{name} {each.accuracy.value:.2%}" for name, each in evaluation.models.items())

    def _files_beside(self, inputs: Mapping[str, Path], choice: ChoiceRecord) -> dict[str, Subject]:
        """By name: in fp32, and of the control made as the chosen file was."""
        from edgekd.harness.subject import Subject

        names = (f"{name}.{FP32}" for name in self.beside)
        found = {name: Subject(inputs[name]) for name in names if name in inputs}
        if CONTROL in inputs and choice.chosen != FP32:
            found[f"{CONTROL}.{choice.chosen}"] = Subject(inputs[CONTROL], session=choice.session)
        return found

    def _pairs_beside(self, models: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """The student's files against the control's, and each variant against both."""
        for name in models:
            network, _, file = name.partition(".")
            if network == CONTROL:
                yield file, name
            elif network in self.beside:
                yield name, file
                if f"{CONTROL}.{file}" in models:
                    yield name, f"{CONTROL}.{file}"
