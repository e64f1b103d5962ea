"""transfer: samples of another data set, without labels, to be shown to those who have a teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.data.base import Dataset
from edgekd.errors import ConfigError
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.stages.modality import feeding_identity

if TYPE_CHECKING:
    from edgekd.data.modalities.base import Samples

LOOKED_AT = 256
"""Samples whose form is compared with that of the contract."""


@dataclass(frozen=True)
class TransferStage(Stage):
    dataset: Dataset

    name = "transfer"
    inputs = ("contract",)
    outputs = {"train": "train.npz"}
    libraries = ("numpy", "pillow", "scikit-learn")

    def identity(self) -> JsonValue:
        return {"dataset": self.dataset.identity(), "modality": feeding_identity(self.dataset.modality)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        import numpy as np

        from edgekd.data.modalities.base import modality
        from edgekd.data.samples import UNLABELLED, Split
        from edgekd.stages.files import load_record, save_split

        contract = load_record(ModelContract, inputs["contract"])
        data = self.dataset.load(context.progress)
        samples = data.train.samples
        self._check(contract, samples[:LOOKED_AT], data.reading)
        noun = modality(contract.modality).NOUN
        rows = np.arange(len(samples))
        with context.progress.task(noun, len(rows)) as advance:
            unlabelled = Split(samples, np.full(len(rows), UNLABELLED, dtype=np.int64))
            save_split(context.output("train"), unlabelled, rows, advance)
        return f"{len(rows):,} {noun} without labels"

    def _check(self, contract: ModelContract, samples: Samples, reading: Mapping[str, JsonValue]) -> None:
        """What varies in length becomes an input of the contract whatever form it has.

        Raises:
            ConfigError: they are of another kind or form than those of the pipeline's own data.
        """
        from edgekd.data.modalities.base import modality

        found = self.dataset.modality
        if found != contract.modality:
            raise ConfigError(f"its samples are {found}, those of `data` {contract.modality}", where="distill.transfer")
        try:
            kind = modality(found)
            samples = kind.accepted(samples)
            wanted = [tuple(each.shape) for each in contract.inputs if not each.varies]
            specs = kind.specify(samples, reading) if wanted else []
            forms = [tuple(each["shape"]) for each in specs if not each.get("varies", False)]
            otherwise = [
                f"{rule} {value!r}, not {each.preprocessing[rule]!r}"
                for each in contract.inputs
                for rule, value in reading.items()
                # numbers, such as a rate, say what the samples are; how a file became them may differ
                if type(value) is int and each.preprocessing.get(rule, value) != value
            ]
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(what, where="distill.transfer", hint=hint or None) from error
        if forms != wanted:
            raise ConfigError(
                f"its samples are of the form {forms[0]}, those of `data` {wanted[0]}",
                where="distill.transfer",
                hint="of an image folder `size` and `color` make them alike, of sounds `rate` and `seconds`",
            )
        if otherwise:
            raise ConfigError(
                f"its samples are read otherwise than those of `data`: {', '.join(otherwise)}",
                where="distill.transfer",
                hint="give both the same options",
            )
