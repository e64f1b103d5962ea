"""data: the samples in files, split once, and the contract made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.data.base import Dataset
from edgekd.errors import ConfigError, placed
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.contract import ModelContract
from edgekd.records.splits import SplitsRecord
from edgekd.stages.modality import training_identity

if TYPE_CHECKING:
    from edgekd.data.samples import LabelledData, Rows


@dataclass(frozen=True)
class DataStage(Stage):
    dataset: Dataset

    name = "data"
    outputs = {
        "train": "train.npz",
        "validation": "validation.npz",
        "test": "test.npz",
        "contract": "contract.json",
        "splits": "splits.json",
    }
    records = {"contract": ModelContract, "splits": SplitsRecord}
    libraries = ("numpy", "pillow", "scikit-learn")
    seeded = True

    def identity(self) -> JsonValue:
        # all of its code: what makes the contract, such as the choice of a vocabulary, need not be in its own file
        return {"dataset": self.dataset.identity(), "modality": training_identity(self.dataset.modality)}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        del inputs
        import numpy as np

        from edgekd.data.modalities.base import contract_for, modality
        from edgekd.data.samples import UNLABELLED, Split
        from edgekd.data.split import labelled_in_part, stratified_split
        from edgekd.stages.files import load_split, save_record, save_split

        data = self.dataset.load(context.progress)
        if not data.classes:
            raise ConfigError("its samples have no labels", where="data", hint="they can be those of distill.transfer")
        with placed("data.validation"):
            kept, held_out = stratified_split(data.train.labels, self.dataset.validation, context.seed)
        labels = data.train.labels.copy()
        labelled = self.dataset.labelled
        if labelled is not None:
            with placed("data.labelled"):
                labels[kept] = labelled_in_part(labels[kept], labelled, context.seed)
        train = Split(data.train.samples, labels)
        splits = SplitsRecord(
            noun=modality(self.dataset.modality).NOUN,
            train=len(kept),
            validation=len(held_out),
            test=len(data.test),
            classes=len(data.classes),
            labelled=None if labelled is None else int((labels[kept] != UNLABELLED).sum()),
        )
        with context.progress.task(splits.noun, len(data.train) + len(data.test)) as advance:
            save_split(context.output("train"), train, kept, advance)
            save_split(context.output("validation"), train, held_out, advance)
            save_split(context.output("test"), data.test, np.arange(len(data.test)), advance)
        # decoding again would take longer
        written = {port: load_split(context.output(port)).samples for port in ("train", "validation", "test")}
        contract = contract_for(self.dataset.modality, written["train"], data.classes, data.reading)
        splits = splits.model_copy(update=self._doubted(context, written, data))
        for doubt in splits.doubts:
            context.warn(doubt)
        save_record(context.output("contract"), contract)
        save_record(context.output("splits"), splits)
        return (
            f"{splits.training}, {splits.validation:,} validation and {splits.test:,} test {splits.noun}, "
            f"{splits.classes} classes"
        )

    @staticmethod
    def _doubted(context: Context, written: Mapping[str, Rows], data: LabelledData) -> dict[str, object]:
        """What is found in the test samples, for the record."""
        import numpy as np

        from edgekd.data.repeats import passes, repeats
        from edgekd.records.splits import FEW

        learned = [written["train"], written["validation"]]
        count = sum(len(each) for each in learned)
        with context.progress.task("test against training", passes(written["test"]) * count) as advance:
            found = repeats(learned, written["test"], advance)
        counts = np.bincount(data.test.labels, minlength=len(data.classes))
        rare = [(name, int(each)) for name, each in zip(data.classes, counts, strict=True) if each < FEW]
        return {
            "repeated": len(found.equal),
            "alike": len(found.alike),
            "compared": found.compared,
            "rare": dict(sorted(rare, key=lambda each: each[1])),
        }
