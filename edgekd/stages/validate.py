"""validate: accuracy of the exact files on the target; the only stage that reads the test images.

Golden inputs for the bundle are answered in the same go; they are validation images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.stages.target_stage import MODELS, TargetStage

GOLDEN_IMAGES = 16


@dataclass(frozen=True)
class ValidateStage(TargetStage):
    name = "validate"
    inputs = (*MODELS, "contract", "validation", "test")
    outputs = {"evaluation": "evaluation.json", "logits": "logits.npz", "golden": "golden.npz"}
    code = ("data/contract.py", "devices", "harness", "stages/target_stage.py", "stages/validate.py")
    libraries = ("onnxruntime", "numpy", "scipy")

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.contract import normalise
        from edgekd.harness.driver import predict
        from edgekd.harness.scoring import evaluate
        from edgekd.records.arrays import save_arrays
        from edgekd.stages.files import load_images, load_record, save_record
        from edgekd.stages.targets import device_of, machine_of

        contract = load_record(ModelContract, inputs["contract"])
        test = load_images(inputs["test"])
        golden = load_images(inputs["validation"]).images[:GOLDEN_IMAGES]
        answers = predict(
            device_of(self.target),
            self.target.runtime,
            self.models(inputs),
            normalise(np.concatenate([test.images, golden]), contract.image),
            context.progress,
        )
        logits = {name: each[: len(test)] for name, each in answers.items()}
        evaluation = evaluate(self.target.name, logits, test.labels, len(contract.classes))
        save_arrays(context.output("logits"), logits)
        runtime = np.array(str(machine_of(device_of(self.target))["onnxruntime"]))
        save_arrays(
            context.output("golden"),
            {"images": golden, "logits": answers["int8"][len(test) :], "onnxruntime": runtime},
        )
        save_record(context.output("evaluation"), evaluation)
        return " · ".join(f"{name} {each.accuracy.value:.2%}" for name, each in evaluation.models.items())
