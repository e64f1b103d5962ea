"""What data sets of the user's own files have in common that lie in one folder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator

from edgekd.config.paths import find_data
from edgekd.data.base import Amount, Dataset
from edgekd.data.class_folders import Kind, layout_of
from edgekd.data.content import content_digest
from edgekd.data.image_files import FolderFiles
from edgekd.data.split import TEST_SEED, stratified_split
from edgekd.errors import ConfigError


class Arranged(NamedTuple):
    """names: all files; labels: int64, the class of each; train, test: which rows of them."""

    names: list[str]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    train: NDArray[np.int64]
    test: NDArray[np.int64]


class FilesByClass(Dataset):
    """`train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which a share becomes the test split."""

    endings: ClassVar[frozenset[str]]

    path: Path = Field(
        description="folder or uncompressed .tar, relative to this file, or to EDGEKD_DATA, ./data or the user's cache"
    )
    test: Amount = Field(
        0.2, gt=0, description="share (below 1) or number of files for the test split, where there is no test folder"
    )

    _found: Path = PrivateAttr()

    @field_validator("path")
    @classmethod
    def _exists(cls, path: Path, info: ValidationInfo) -> Path:
        if find_data(path, info.context) is None:
            raise ValueError(f"no such folder or .tar file: {path}")
        return path

    def model_post_init(self, context: Any) -> None:
        found = find_data(self.path, context)
        assert found is not None  # checked above, where an error gets its line
        self._found = found

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        options: JsonValue = self.model_dump(mode="json", exclude={"path"})  # moved files are the same files
        names = FolderFiles(self._found, self.endings).names if self._found.is_dir() else None
        try:
            return {**known, "options": options, "content": content_digest(self._found, names)}
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or self._found}: {error.strerror}") from error

    def arranged(self, names: Sequence[str], kind: Kind) -> Arranged:
        """
        Raises:
            ConfigError: as `layout_of`, or the share is too large or too small.
        """
        layout = layout_of(names, self._found, kind)
        entries = (*layout.train, *layout.test)
        numbers = {name: number for number, name in enumerate(layout.classes)}
        labels = np.array([numbers[entry.label] for entry in entries], dtype=np.int64)
        if layout.test:
            train, test = np.split(np.arange(len(entries)), [len(layout.train)])
        else:
            train, test = stratified_split(labels, self.test, TEST_SEED)
        return Arranged([entry.name for entry in entries], labels, layout.classes, train, test)
