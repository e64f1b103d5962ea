"""validate: accuracy of the chosen file on the target, beside its fp32 file, the teacher, the control and variants.

Golden inputs for the bundle are answered in the same go; they are validation samples. These and some more are answered
again under every level of graph optimisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.records.evaluation import Evaluation
from edgekd.records.levels import LevelsRecord
from edgekd.records.screening import ChoiceRecord
from edgekd.stages.target_stage import REFERENCE, ComparingStage, Fed, fed, fed_in_parts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgekd.harness.subject import Subject

GOLDEN_SAMPLES = 16
REPLAYED_SAMPLES = 256  # the golden ones are the first of them


@dataclass(frozen=True)
class ValidateStage(ComparingStage):
    name = "validate"
    outputs = {"evaluation": "evaluation.json", "logits": "logits.npz", "golden": "golden.npz", "levels": "levels.json"}
    records = {"evaluation": Evaluation, "levels": LevelsRecord}
    libraries = ("onnxruntime", "numpy", "scipy")

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.files, "contract", "validation", "test")

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import fed_at_once
        from edgekd.harness.answers import predict
        from edgekd.harness.scoring import evaluate
        from edgekd.records.arrays import save_arrays
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of, machine_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        contract = load_record(ModelContract, inputs["contract"])
        test = load_split(inputs["test"])
        replayed = load_split(inputs["validation"]).samples[: min(REPLAYED_SAMPLES, fed_at_once(contract))]
        models = self.all_compared(inputs, choice)
        parts = [
            predict(device_of(self.target), self.runtime, models, part.feeds, context.progress, raw=part.raw)
            for part in fed_in_parts(contract, test.samples, after=replayed)
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
        for doubt in evaluation.doubts(contract.classes):
            context.warn(f"{self.target.name}: {doubt}")
        given = answers[choice.chosen][len(test) :]
        save_arrays(context.output("logits"), {**logits, "shipped": logits[choice.chosen]})
        runtime = np.array(str(machine_of(device_of(self.target))["onnxruntime"]))
        save_arrays(
            context.output("golden"),
            {"samples": replayed[:GOLDEN_SAMPLES], "logits": given[:GOLDEN_SAMPLES], "onnxruntime": runtime},
        )
        save_record(context.output("evaluation"), evaluation)
        again = fed(contract, replayed)
        levels = self._levels(context, choice.chosen, models[choice.chosen], again, given)
        save_record(context.output("levels"), levels)
        return " · ".join(f"{name} {each.accuracy.value:.2%}" for name, each in evaluation.models.items())

    def _levels(
        self, context: Context, name: str, shipped: Subject, again: Fed, given: NDArray[np.float32]
    ) -> LevelsRecord:
        """Whether what ships, called `name`, answers `given` to `again` under every level; told where it does not."""
        from edgekd.harness.levels import replay
        from edgekd.release.agreement import agreement
        from edgekd.stages.targets import device_of

        level = self.runtime.optimisation
        device = device_of(self.target)
        found = replay(device, self.runtime, name, shipped, again.feeds, context.progress, raw=again.raw)
        record = LevelsRecord(
            target=self.target.name,
            model=name,
            level=level,
            samples=len(given),
            agreements={other: agreement(level, given, logits) for other, logits in found.logits.items()},
            refused=found.refused,
        )
        for other, each in record.agreements.items():
            if each.flipped:
                surest = each.flips[0]
                context.warn(
                    f"{name} answers {each.flipped} of {each.samples} samples otherwise under optimisation {other} "
                    f"than under {level}, the surest of them sample {surest.sample} (margin {surest.margin:.3g})"
                )
        return record
