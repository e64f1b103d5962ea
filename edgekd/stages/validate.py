"""validate: accuracy of the chosen file on the target, beside its fp32 file, the teacher and the control; the only
stage that reads the test split.

Golden inputs for the bundle are answered in the same go; they are validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """With a control its fp32 file arrives at `control.fp32`, what was made of it as of the chosen at `control`."""

    controlled: bool

    name = "validate"
    outputs = {"evaluation": "evaluation.json", "logits": "logits.npz", "golden": "golden.npz"}
    records = {"evaluation": Evaluation}
    libraries = ("onnxruntime", "numpy", "scipy")

    @property
    def inputs(self) -> tuple[str, ...]:
        controls = ("control", f"{CONTROL}.{FP32}") if self.controlled else ()
        return ("teacher", "fp32", "model", "choice", *controls, "contract", "validation", "test")

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
        controls = self._controls(inputs, choice)
        models = {**self.compared(inputs, choice), **controls}
        parts = [
            predict(device_of(self.target), self.runtime, models, feeds, context.progress)
            for feeds in fed_in_parts(contract, test.samples, golden)
        ]
        answers = {name: np.concatenate([part[name] for part in parts]) for name in models}
        logits = {name: each[: len(test)] for name, each in answers.items()}
        gains = [(name.removeprefix(f"{CONTROL}."), name) for name in controls]
        evaluation = evaluate(
            self.target.name,
            logits,
            test.labels,
            len(contract.classes),
            reference=REFERENCE,
            shipped=choice.chosen,
            pairs=[*self.compared_pairs(choice), *gains],
        )
        save_arrays(context.output("logits"), {**logits, "shipped": logits[choice.chosen]})
        runtime = np.array(str(machine_of(device_of(self.target))["onnxruntime"]))
        save_arrays(
            context.output("golden"),
            {"samples": golden, "logits": answers[choice.chosen][len(test) :], "onnxruntime": runtime},
        )
        save_record(context.output("evaluation"), evaluation)
        return " · ".join(f"{name} {each.accuracy.value:.2%}" for name, each in evaluation.models.items())

    @staticmethod
    def _controls(inputs: Mapping[str, Path], choice: ChoiceRecord) -> dict[str, Subject]:
        """The untaught student's files, by name: in fp32, and made as the chosen one was."""
        from edgekd.harness.subject import Subject

        fp32 = f"{CONTROL}.{FP32}"
        found = {fp32: Subject(inputs[fp32])} if fp32 in inputs else {}
        if CONTROL in inputs and choice.chosen != FP32:
            found[f"{CONTROL}.{choice.chosen}"] = Subject(inputs[CONTROL], session=choice.session)
        return found
