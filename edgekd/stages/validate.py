"""validate: accuracy of the chosen file on the target, beside its fp32 file, the teacher, the control and variants.

Golden inputs for the bundle are answered in the same go; they are validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.target_stage import REFERENCE, ComparingStage, fed_in_parts

GOLDEN_SAMPLES = 16


@dataclass(frozen=True)
class ValidateStage(ComparingStage):
    name = "validate"
    outputs = {"evaluation": "evaluation.json", "logits": "logits.npz", "golden": "golden.npz"}
    records = {"evaluation": Evaluation}
    libraries = ("onnxruntime", "numpy", "scipy")

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.files, "contract", "validation", "test")

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
        models = self.all_compared(inputs, choice)
        parts = [
            predict(device_of(self.target), self.runtime, models, part.feeds, context.progress, raw=part.raw)
            for part in fed_in_parts(contract, test.samples, after=golden)
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
            pairs=self.all_pairs(tuple(models), choice),
        )
        save_arrays(context.output("logits"), {**logits, "shipped": logits[choice.chosen]})
        runtime = np.array(str(machine_of(device_of(self.target))["onnxruntime"]))
        save_arrays(
            context.output("golden"),
            {"samples": golden, "logits": answers[choice.chosen][len(test) :], "onnxruntime": runtime},
        )
        save_record(context.output("evaluation"), evaluation)
        return " · ".join(f"{name} {each.accuracy.value:.2%}" for name, each in evaluation.models.items())
