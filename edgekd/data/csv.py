"""The user's own rows of numbers with a label each, in a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, JsonValue, PrivateAttr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from edgekd.config.paths import find_data
from edgekd.data.base import Amount, Dataset
from edgekd.data.content import content_digest, same_content
from edgekd.data.labels import class_names, class_numbers
from edgekd.data.samples import LabelledData, Split
from edgekd.data.split import TEST_SEED, stratified_split
from edgekd.data.table import Table, read_table
from edgekd.errors import ConfigError
from edgekd.progress import Progress


def _name_or_number(value: object) -> object:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise PydanticCustomError("column", "expected the name of a column, or its number")


Column = Annotated[str | int, BeforeValidator(_name_or_number)]


class Csv(Dataset):
    """Rows of numbers with a label each; the first line names the columns.

    Every column but the label and those of `ignore` is a feature, in the order of the file. No value may be
    missing. Classes are the labels that occur, sorted: as numbers where all of them are, and
    then 1 and 1.0 are one class.
    """

    modality: ClassVar[str] = "vector"

    path: Path = Field(description="CSV file, relative to this file, or to EDGEKD_DATA, ./data or the user's cache")
    label: Column = Field(description="the column with the labels: its name, or its number from 0 (-1: the last)")
    ignore: tuple[Column, ...] = Field((), description="columns that are no features, by name or number")
    test: Amount = Field(0.2, gt=0, description="share (below 1) or number of rows for the test split")
    test_path: Path | None = Field(None, description="a CSV file with the test split, in place of `test`")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="between two cells; found from the first line by default"
    )

    _found: Path = PrivateAttr()
    _found_test: Path | None = PrivateAttr()

    @field_validator("path", "test_path")
    @classmethod
    def _exists(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None:
            found = find_data(path, info.context)
            if found is None or not found.is_file():
                raise ValueError(f"no such file: {path}")
        return path

    @field_validator("test_path")
    @classmethod
    def _other_content(cls, test_path: Path | None, info: ValidationInfo) -> Path | None:
        if test_path is not None and "path" in info.data:
            files = [find_data(path, info.context) for path in (info.data["path"], test_path)]
            if same_content(*(file for file in files if file is not None)):
                raise ValueError(
                    f"{test_path} has the same content as `path`: a test on what was learned says nothing\n"
                    "give a file of other rows, or leave `test_path` out: a share of `path` becomes the test split"
                )
        return test_path

    @model_validator(mode="after")
    def _one_test_split(self) -> Self:
        if self.test_path is not None and "test" in self.model_fields_set:
            raise ValueError("`test` and `test_path` both say what the test split is\ngive one of them")
        return self

    def model_post_init(self, context: Any) -> None:
        found = find_data(self.path, context)
        assert found is not None  # checked above, where an error gets its line
        self._found = found
        self._found_test = None if self.test_path is None else find_data(self.test_path, context)

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        options: JsonValue = self.model_dump(mode="json", exclude={"path", "test_path"})  # a moved file is the same
        files = [path for path in (self._found, self._found_test) if path is not None]
        try:
            return {**known, "options": options, "content": [content_digest(path) for path in files]}
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or self._found}: {error.strerror}") from error

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - there is little to wait for
        table = read_table(self._found, self.delimiter)
        label = table.column(self.label)
        left_out = {label, *(table.column(each) for each in self.ignore)}
        features = [name for column, name in enumerate(table.names) if column not in left_out]
        if not features:
            raise ConfigError(f"{self._found}: no column is left for features")
        classes = class_names(table.texts(label))
        if len(classes) < 2:
            raise ConfigError(
                f"{self._found}: only one class, {classes[0]!r}",
                hint=f"the column {table.names[label]!r} must hold two different labels or more",
            )
        everything = _split(table, table.names[label], features, classes)
        if self._found_test is not None:
            test_table = read_table(self._found_test, self.delimiter)
            return LabelledData(everything, _split(test_table, table.names[label], features, classes), classes)
        train, test = stratified_split(everything.labels, self.test, TEST_SEED)
        return LabelledData(everything.take(train), everything.take(test), classes)


def _split(table: Table, label: str, features: Sequence[str], classes: Sequence[str]) -> Split:
    """The columns by name, so that those of a test file may stand in another order."""
    samples = table.numbers([table.column(name) for name in features])
    column = table.column(label)
    places = [f"{table.path}:{line}" for line in table.lines]
    return Split(samples, class_numbers(table.texts(column), classes, places))
