"""A data set of the user's own: `use: file.py:callable`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, JsonValue

from edgekd.config.component import UserComponent
from edgekd.data.base import Dataset, Images, LabelledImages
from edgekd.data.content import content_digest
from edgekd.errors import ConfigError
from edgekd.progress import Progress

KEYS = ("train_images", "train_labels", "test_images", "test_labels", "classes")


class UserDataset(UserComponent, Dataset):
    """`callable(**options)` -> a mapping with five keys, so that the file need not import edgekd.

    `train_images`, `test_images`: uint8 (N, H, W) or (N, H, W, C) with C 1 or 3; `train_labels`, `test_labels`:
    whole numbers (N,), from 0; `classes`: the name of each.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    sources: tuple[Path, ...] = Field(
        (), description="files and folders that the callable reads, relative to this file: a change in them is noticed"
    )

    def identity(self) -> JsonValue:
        validation: JsonValue = self.validation
        return {
            "callable": super().identity(),
            "validation": validation,
            "sources": [self._source_digest(path) for path in self.sources],
        }

    def load(self, progress: Progress) -> Images:  # noqa: ARG002 - the callable knows nothing of it
        given = self.function()(**self.options)
        hint = f"return a dict with {', '.join(KEYS)}"
        self._demand(isinstance(given, Mapping), f"the callable returned {type(given).__name__}", hint)
        for key in KEYS:
            self._demand(key in given, f"the callable returned no {key!r}", hint)
        classes = tuple(str(name) for name in given["classes"])
        train, test = (self._labelled(given, split, len(classes)) for split in ("train", "test"))
        if train.images.shape[1:] != test.images.shape[1:]:
            raise ConfigError(
                f"{self.use}: training images are {train.images.shape[1:]}, test images {test.images.shape[1:]}"
            )
        return Images(train, test, classes)

    def _labelled(self, given: Mapping[str, Any], split: str, classes: int) -> LabelledImages:
        images = np.asarray(given[f"{split}_images"])
        labels = np.asarray(given[f"{split}_labels"])
        if images.ndim == 3:
            images = images[..., np.newaxis]
        self._demand(
            images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3) and images.size > 0,
            f"{split}_images are {_described(given[f'{split}_images'])}",
            "expected uint8 (N, H, W) or (N, H, W, C) with C 1 or 3",
        )
        self._demand(
            labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer) and len(labels) == len(images),
            f"{split}_labels are {_described(labels)} for {len(images)} images",
            "expected one whole number for each image",
        )
        present = np.unique(labels)
        self._demand(
            present[0] >= 0 and present[-1] < classes,
            f"{split}_labels run from {present[0]} to {present[-1]}, but there are {classes} classes",
            "labels count from 0, in the order of `classes`",
        )
        self._demand(
            split != "train" or (classes > 1 and len(present) == classes),
            f"{len(present)} of {classes} classes occur in {split}_labels",
            "give two classes or more, each with training images",
        )
        return LabelledImages(np.ascontiguousarray(images), labels.astype(np.int64))

    def _demand(self, fulfilled: Any, what: str, hint: str) -> None:
        if not fulfilled:
            raise ConfigError(f"{self.use}: {what}", hint=hint)

    def _source_digest(self, path: Path) -> str:
        try:
            return content_digest(self.use_folder / path)
        except OSError as error:
            raise ConfigError(f"{self.use}: cannot read the source {path}: {error.strerror}") from error


def _described(value: Any) -> str:
    array: NDArray[Any] = np.asarray(value)
    return f"{array.dtype} {array.shape}"
