"""The user's own texts with a label each, in files of lines or tables, or in a folder by class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, JsonValue, PrivateAttr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from edgekd.config.component import identity
from edgekd.config.paths import find_data
from edgekd.data.base import Dataset, as_number
from edgekd.data.content import content_digest, same_content
from edgekd.data.labels import class_names, class_numbers
from edgekd.data.modalities.text.inputs import accepted
from edgekd.data.samples import UNLABELLED, LabelledData, Split
from edgekd.data.split import TEST_SEED, stratified_split
from edgekd.data.text_files import TABLES, Told, read_texts, text_names
from edgekd.data.tokenizer import TokenizerOptions
from edgekd.errors import ConfigError
from edgekd.progress import Progress


class TextDataset(Dataset):
    """What every data set of texts has."""

    modality: ClassVar[str] = "text"

    tokenizer: TokenizerOptions = Field(
        TokenizerOptions(), description="how texts become numbers: vocabulary, size, length, pieces_length"
    )


def _share_or_file(value: object) -> object:
    number = as_number(value)
    if number is not None and (0 < number < 1 or (number >= 1 and number.is_integer())):
        return number if number < 1 else int(number)
    if (isinstance(value, str) and number is None) or isinstance(value, Path):
        return Path(value)
    raise PydanticCustomError("test", "expected a share (below 1) or number of texts, or a file")


class Text(TextDataset):
    """Texts with a label each.

    A file holds a label, a blank and a text in each line; or, with the ending .csv, .tsv or .jsonl, named columns. In
    a folder each .txt file is a text, and the folder that it lies in says its class: `CLASS/*.txt`. Classes are the
    labels that occur, sorted: as numbers where all of them are.
    """

    train: Path = Field(
        description="file or folder of the training texts, relative to this file, or to EDGEKD_DATA, ./data or the "
        "user's cache"
    )
    test: Annotated[float | int | Path, BeforeValidator(_share_or_file)] = Field(
        0.2, description="file or folder of the test texts, or which share (below 1) or number of the others they are"
    )
    text: str = Field("text", min_length=1, description="the column with the texts, where there are columns")
    label: str | None = Field(
        "label",
        min_length=1,
        description="the column with the labels, where there are columns; null: texts without labels, a line each, as "
        "`distill.transfer` takes them",
    )
    encoding: Literal["utf-8", "latin-1"] = Field("utf-8", description="of all files: utf-8 or latin-1")

    _found: Path = PrivateAttr()
    _found_test: Path | None = PrivateAttr()

    @field_validator("train", "test")
    @classmethod
    def _exists(cls, path: Path | float | int, info: ValidationInfo) -> Path | float | int:
        if isinstance(path, Path):
            found = find_data(path, info.context)
            if found is None or not (found.is_file() or found.is_dir()):
                raise ValueError(f"no such file or folder: {path}")
        return path

    @field_validator("test")
    @classmethod
    def _other_content(cls, test: Path | float | int, info: ValidationInfo) -> Path | float | int:
        if isinstance(test, Path) and "train" in info.data:
            one, other = (find_data(path, info.context) for path in (info.data["train"], test))
            if one is not None and other is not None and same_content(one, other):
                raise ValueError(
                    f"{test} has the same content as `train`: a test on what was learned says nothing\n"
                    "give other texts, or a share of `train`"
                )
        return test

    @model_validator(mode="after")
    def _columns_where_there_are_some(self) -> Self:
        if isinstance(self.test, Path) and self.label is None:
            raise ValueError("texts without labels are no test\nleave `test` out, or name the column of the labels")
        paths = [self.train, *([self.test] if isinstance(self.test, Path) else [])]
        if (self.text, self.label or "label") != ("text", "label") and not any(
            path.suffix.lower() in TABLES for path in paths
        ):
            raise ValueError(
                f"`text` and `label` are columns, and {paths[0]} has none: a line is a label, a blank and a text\n"
                f"leave them out, or give a file with the ending {', '.join(TABLES)}"
            )
        return self

    def model_post_init(self, context: Any) -> None:
        found = find_data(self.train, context)
        assert found is not None  # checked above, where an error gets its line
        self._found = found
        self._found_test = find_data(self.test, context) if isinstance(self.test, Path) else None

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        paths = {"train", *(["test"] if self._found_test is not None else [])}
        options = identity(self, without=frozenset(paths))  # a moved file is the same
        files = [path for path in (self._found, self._found_test) if path is not None]
        try:
            contents: list[JsonValue] = [
                # its ending says how a file is read
                [path.suffix, content_digest(path, text_names(path) if path.is_dir() else None)]
                for path in files
            ]
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or self._found}: {error.strerror}") from error
        return {**known, "options": options, "content": contents}

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - there is little to wait for
        told = read_texts(self._found, self.text, self.label, self.encoding)
        reading = self.tokenizer.reading()
        if self.label is None:
            samples = samples_of(told, self._found)
            unlabelled = np.full(len(samples), UNLABELLED, dtype=np.int64)
            return LabelledData(Split(samples, unlabelled), Split(samples[:0], unlabelled[:0]), (), reading)
        classes = class_names([each.label for each in told])
        if len(classes) < 2:
            raise ConfigError(
                f"{self._found}: only one class, {classes[0]!r}",
                hint="the training texts must have two different labels or more; `label: null` where they have none, "
                "for distill.transfer",
            )
        everything = split_of(told, classes, self._found)
        if self._found_test is not None:
            test_told = read_texts(self._found_test, self.text, self.label, self.encoding)
            return LabelledData(everything, split_of(test_told, classes, self._found_test), classes, reading)
        assert not isinstance(self.test, Path)
        train, test = stratified_split(everything.labels, self.test, TEST_SEED)
        return LabelledData(everything.take(train), everything.take(test), classes, reading)


def samples_of(told: Sequence[Told], path: Path) -> np.ndarray[Any, np.dtype[np.bytes_]]:
    """UTF-8, dtype S (N,); path: where they are from, for the error.

    Raises:
        ConfigError: they are more than memory should hold.
    """
    try:
        return accepted([each.text for each in told])
    except ValueError as error:
        what, _, hint = str(error).partition("\n")
        raise ConfigError(f"{path}: {what}", hint=hint or None) from error


def split_of(told: Sequence[Told], classes: Sequence[str], path: Path) -> Split:
    """
    Raises:
        ConfigError: a label is none of the classes, or as `samples_of`.
    """
    labels = class_numbers([each.label for each in told], classes, [each.where for each in told])
    return Split(samples_of(told, path), labels)
