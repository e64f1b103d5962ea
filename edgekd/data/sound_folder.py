"""The user's own recordings, one folder for each class, in a folder or a tar archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator

from edgekd.data.base import Amount, find_data
from edgekd.data.class_folders import Kind, layout_of
from edgekd.data.content import content_digest
from edgekd.data.image_files import FolderFiles, open_files
from edgekd.data.samples import LabelledData, Split
from edgekd.data.sounds import ENDINGS, Sounds
from edgekd.data.split import stratified_split
from edgekd.errors import ConfigError
from edgekd.progress import Progress

KIND = Kind("WAV files", "wav")
TEST_SEED = 0  # fixed: the test sounds are the same whatever the pipeline's seed


class SoundFolder(Sounds):
    """WAV files by class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which a share becomes the test split.

    Classes are the names of the folders, sorted. Files count at any depth below their class, those of other kinds are
    passed over. A share is drawn without regard to who speaks: where one person is in several files, give a test
    folder with people of its own.
    """

    path: Path = Field(
        description="folder or uncompressed .tar, relative to this file, or to EDGEKD_DATA, ./data or the user's cache"
    )
    test: Amount = Field(
        0.2, gt=0, description="share (below 1) or number of sounds for the test split, where there is no test folder"
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
        options: JsonValue = self.model_dump(mode="json", exclude={"path"})  # moved recordings are the same recordings
        names = FolderFiles(self._found, ENDINGS).names if self._found.is_dir() else None
        try:
            return {**known, "options": options, "content": content_digest(self._found, names)}
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or self._found}: {error.strerror}") from error

    def load(self, progress: Progress) -> LabelledData:
        files = open_files(self._found, ENDINGS)
        layout = layout_of(files.names, self._found, KIND)
        entries = (*layout.train, *layout.test)
        sounds = self._recordings(files, [entry.name for entry in entries], progress)
        numbers = {name: number for number, name in enumerate(layout.classes)}
        everything = Split(sounds, np.array([numbers[entry.label] for entry in entries], np.int64))
        if layout.test:
            train, test = np.split(np.arange(len(entries)), [len(layout.train)])
        else:
            train, test = stratified_split(everything.labels, self.test, TEST_SEED)
        return LabelledData(everything.only(train), everything.only(test), layout.classes, self._reading())
