"""shift: every compared file on test samples as they come under other conditions. It shows, and decides nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from edgekd.config.component import identity
from edgekd.config.shifts import ShiftOptions
from edgekd.errors import ConfigError
from edgekd.pipeline.stage import Context
from edgekd.records.contract import ModelContract
from edgekd.records.screening import ChoiceRecord
from edgekd.records.shifts import Shifted, ShiftsRecord
from edgekd.stages.modality import training_identity
from edgekd.stages.target_stage import REFERENCE, ComparingStage, fed_in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ShiftStage(ComparingStage):
    options: ShiftOptions

    name = "shift"
    outputs = {"shifts": "shifts.json"}
    records = {"shifts": ShiftsRecord}
    libraries = ("onnxruntime", "numpy", "scipy")
    seeded = True

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.files, "contract", "test")

    def identity(self) -> dict[str, JsonValue]:
        return {**super().identity(), "shifts": identity(self.options), "code": training_identity(self.modality)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.harness.answers import predict
        from edgekd.harness.scoring import evaluate
        from edgekd.stages.files import load_record, load_split, save_record
        from edgekd.stages.targets import device_of

        choice = load_record(ChoiceRecord, inputs["choice"])
        contract, test = load_record(ModelContract, inputs["contract"]), load_split(inputs["test"])
        models = self.all_compared(inputs, choice)
        found = {}
        for name, amount in self.options.given().items():
            change = functools.partial(_changed, contract, name, amount, context.seed)
            parts = [
                predict(device_of(self.target), self.runtime, models, part.feeds, context.progress, raw=part.raw)
                for part in fed_in_parts(contract, test.samples, change=change)
            ]
            evaluation = evaluate(
                self.target.name,
                {model: np.concatenate([part[model] for part in parts]) for model in models},
                test.labels,
                len(contract.classes),
                reference=REFERENCE,
                shipped=choice.chosen,
                pairs=self.all_pairs(tuple(models), choice),
            )
            found[name] = Shifted(amount=amount, evaluation=evaluation)
        save_record(context.output("shifts"), ShiftsRecord(target=self.target.name, shifts=found))
        return " · ".join(
            f"{name} {each.evaluation.models[choice.chosen].accuracy.value:.2%}" for name, each in found.items()
        )


def _changed(contract: ModelContract, name: str, amount: float, seed: int, samples: NDArray[Any]) -> NDArray[Any]:
    from edgekd.data.modalities.base import modality, specs_of

    try:
        return modality(contract.modality).shifted(samples, specs_of(contract), name, amount, seed)
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise ConfigError(what, where=f"shifts.{name}", hint=hint or None) from error
