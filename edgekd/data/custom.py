"""A data set of the user's own: `use: file.py:callable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, JsonValue, field_validator, model_validator

from edgekd.config.component import UserComponent
from edgekd.config.registry import MODALITIES
from edgekd.config.section import nearest
from edgekd.data.base import Dataset
from edgekd.data.content import content_digest
from edgekd.data.modalities.base import modality
from edgekd.data.modalities.sound.inputs import RATES
from edgekd.data.samples import LabelledData, Split
from edgekd.data.tokenizer import TokenizerOptions
from edgekd.errors import ConfigError
from edgekd.progress import Progress


class UserDataset(UserComponent, Dataset):
    """`callable(**options)` -> a mapping with five keys, so that the file need not import edgekd.

    `train_images`, `test_images`: uint8 (N, H, W) or (N, H, W, C) with C 1 or 3; with `modality: vector` instead
    `train_features`, `test_features`: numbers (N, F), none missing; with `modality: text` `train_texts`, `test_texts`:
    str or UTF-8 bytes (N,); with `modality: sound` `train_sounds`, `test_sounds`: int16 (N, T), and one key more,
    `rate`: their samples a second, by default 16,000. `train_labels`, `test_labels`: whole numbers (N,), from 0;
    `classes`: the name of each. Arrays that are larger than memory may be mapped files (`numpy.memmap`), features then
    as float32.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    modality: str = Field("image", description=f"what the samples are: {', '.join(MODALITIES.members)}")
    sources: tuple[Path, ...] = Field(
        (),
        description="files and folders that the callable reads, relative to this file: a change in them is noticed, in "
        "hidden files too",
    )
    tokenizer: TokenizerOptions | None = Field(
        None, description="how texts become numbers: vocabulary, size, length, pieces_length"
    )

    @field_validator("modality")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in MODALITIES.members:
            raise ValueError(f"unknown {MODALITIES.singular} {name!r}\n{nearest(name, MODALITIES.members)}")
        return name

    @model_validator(mode="after")
    def _reads_texts(self) -> Self:
        if self.tokenizer is not None and self.modality != "text":
            raise ValueError("`tokenizer` is of texts\nsay `modality: text`, or leave it out")
        return self

    def identity(self) -> JsonValue:
        validation: JsonValue = self.validation
        return {
            "callable": super().identity(),
            "modality": self.modality,
            "validation": validation,
            "labelled": self.labelled,
            "sources": [self._source_digest(path) for path in self.sources],
        }

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - the callable knows nothing of it
        kind = modality(self.modality)
        keys = [f"{split}_{what}" for split in ("train", "test") for what in (kind.KEY, "labels")] + ["classes"]
        hint = f"return a dict with {', '.join(keys)}"
        function = self.function()
        with self.called():
            given = function(**self.options)
        self._demand(isinstance(given, Mapping), f"the callable returned {type(given).__name__}", hint)
        for key in keys:
            self._demand(key in given, f"the callable returned no {key!r}", hint)
        classes = self._classes(given["classes"])
        train, test = (self._labelled(given, split, len(classes)) for split in ("train", "test"))
        if train.samples.shape[1:] != test.samples.shape[1:]:
            raise ConfigError(
                f"{self.use}: training {kind.NOUN} are of shape {train.samples.shape[1:]}, "
                f"test {kind.NOUN} of {test.samples.shape[1:]}"
            )
        return LabelledData(train, test, classes, self._reading(given))

    def _reading(self, given: Mapping[str, Any]) -> dict[str, JsonValue]:
        """What `specify` is told."""
        if self.tokenizer is not None:
            return self.tokenizer.reading()
        if self.modality != "sound" or "rate" not in given:
            return {}
        rate = given["rate"]
        whole = isinstance(rate, int | np.integer) and not isinstance(rate, bool)
        self._demand(
            whole and rate in RATES,
            f"`rate` is {rate!r}",
            f"return samples a second, a whole number from {RATES[0]} to {RATES[-1]}",
        )
        return {"rate": int(rate)}

    def _classes(self, given: object) -> tuple[str, ...]:
        hint = "return their names, a list of texts that all differ"
        self._demand(
            isinstance(given, Sequence | np.ndarray) and not isinstance(given, str), "`classes` is no list", hint
        )
        names = tuple(str(name) for name in given)  # type: ignore[attr-defined]  # demanded
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        self._demand(twice is None, f"the class {twice!r} stands twice in `classes`", hint)
        self._demand(all(name.strip() for name in names), "a class in `classes` has no name", hint)
        odd = next((name for name in names if not _is_text(name)), None)
        self._demand(odd is None, f"the class {odd!a} holds half of a surrogate pair", hint)
        return names

    def _labelled(self, given: Mapping[str, Any], split: str, classes: int) -> Split:
        kind = modality(self.modality)
        try:
            samples = kind.accepted(self._array(given, f"{split}_{kind.KEY}"))
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(f"{self.use}: {split}_{kind.KEY}: {what}", hint=hint or None) from error
        labels = self._array(given, f"{split}_labels")
        self._demand(
            labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer) and len(labels) == len(samples),
            f"{split}_labels are {labels.dtype} {labels.shape} for {len(samples)} {kind.NOUN}",
            "expected one whole number for each of them",
        )
        self._demand(len(labels), f"{split}_labels are empty", f"give {kind.NOUN} of both splits")
        present = np.unique(labels)
        self._demand(
            present[0] >= 0 and present[-1] < classes,
            f"{split}_labels run from {present[0]} to {present[-1]}, but there are {classes} classes",
            "labels count from 0, in the order of `classes`",
        )
        self._demand(
            split != "train" or (classes > 1 and len(present) == classes),
            f"{len(present)} of {classes} classes occur in {split}_labels",
            f"give two classes or more, each with training {kind.NOUN}",
        )
        return Split(samples, labels.astype(np.int64))

    def _array(self, given: Mapping[str, Any], key: str) -> NDArray[Any]:
        with self.called(does=f"gave {key} that are no array", hint="rows of one shape, as numpy.asarray takes them"):
            rows = given[key]
            # as they are: NumPy would make texts of all that lies among texts, each with room for the longest
            texts = isinstance(rows, (list, tuple)) and any(isinstance(each, (str, bytes)) for each in rows)
            return np.array(rows, dtype=object) if texts else np.asarray(rows)

    def _demand(self, fulfilled: Any, what: str, hint: str) -> None:
        if not fulfilled:
            raise ConfigError(f"{self.use}: {what}", hint=hint)

    def _source_digest(self, path: Path) -> str:
        try:
            return content_digest(self.use_folder / path, hidden=True)  # who knows what the callable reads
        except OSError as error:
            raise ConfigError(f"{self.use}: cannot read the source {path}: {error.strerror}") from error


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
