"""data: the images as arrays, split once, and the contract made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgekd.data.base import Dataset
from edgekd.pipeline.stage import Context, Stage


@dataclass(frozen=True)
class DataStage(Stage):
    dataset: Dataset

    name = "data"
    outputs = {
        "train": "train.npz",
        "validation": "validation.npz",
        "test": "test.npz",
        "contract": "contract.json",
    }
    code = ("data", "stages/data.py")
    libraries = ("numpy", "pillow", "scikit-learn")
    seeded = True

    def identity(self) -> JsonValue:
        return self.dataset.identity()

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        del inputs
        from edgekd.data.contract import contract_from
        from edgekd.data.split import stratified_split
        from edgekd.stages.files import save_images, save_record

        images = self.dataset.load(context.progress)
        kept, held_out = stratified_split(images.train.labels, self.dataset.validation, context.seed)
        train, validation = images.train.take(kept), images.train.take(held_out)
        save_images(context.output("train"), train)
        save_images(context.output("validation"), validation)
        save_images(context.output("test"), images.test)
        save_record(context.output("contract"), contract_from(train.images, images.classes))
        return (
            f"{len(train):,} training, {len(validation):,} validation and {len(images.test):,} test images, "
            f"{len(images.classes)} classes"
        )
