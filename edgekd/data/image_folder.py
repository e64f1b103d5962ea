"""The user's own images, one folder for each class, in a folder or a tar archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator

from edgekd.data.base import Amount, Dataset, find_data
from edgekd.data.class_folders import Entry, Kind, entries_of, layout_of
from edgekd.data.content import content_digest
from edgekd.data.decode import FILTER, Color, DecodedImages, form_of
from edgekd.data.image_files import FolderFiles, open_files
from edgekd.data.samples import LabelledData, Split
from edgekd.data.split import stratified_split
from edgekd.errors import ConfigError
from edgekd.progress import Progress

KIND = Kind("images", "png")
TEST_SEED = 0  # fixed: the test images are the same whatever the pipeline's seed


class ImageFolder(Dataset):
    """Images by class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which a share becomes the test split.

    Classes are the names of the folders, sorted. PNG, JPEG, WebP, BMP, GIF, TIFF and PNM files count, at any depth
    below their class; other files are passed over.
    """

    modality: ClassVar[str] = "image"

    path: Path = Field(
        description="folder or uncompressed .tar, relative to this file, or to EDGEKD_DATA, ./data or the user's cache"
    )
    size: int | tuple[int, int] | None = Field(
        None,
        description="scales every image to this height and width, by a bilinear filter with antialiasing: one number, "
        "or [height, width]",
    )
    color: Color = Field("auto", description="gray, rgb, or auto: gray when no image has any colour")
    test: Amount = Field(
        0.2, gt=0, description="share (below 1) or number of images for the test split, where there is no test folder"
    )

    _found: Path = PrivateAttr()

    @field_validator("path")
    @classmethod
    def _exists(cls, path: Path, info: ValidationInfo) -> Path:
        if find_data(path, info.context) is None:
            raise ValueError(f"no such folder or .tar file: {path}")
        return path

    @field_validator("size")
    @classmethod
    def _positive(cls, size: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if size is not None and not all(1 <= side <= 4096 for side in _pair(size)):
            raise ValueError("a side must be between 1 and 4096 pixels")
        return size

    def model_post_init(self, context: Any) -> None:
        found = find_data(self.path, context)
        assert found is not None  # checked above, where an error gets its line
        self._found = found

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        options: JsonValue = self.model_dump(mode="json", exclude={"path"})  # moved images are the same images
        names = FolderFiles(self._found).names if self._found.is_dir() else None
        try:
            return {**known, "options": options, "content": content_digest(self._found, names)}
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or self._found}: {error.strerror}") from error

    def load(self, progress: Progress) -> LabelledData:
        files = open_files(self._found)
        layout = layout_of(files.names, self._found, KIND)
        entries = (*layout.train, *layout.test)
        names = [entry.name for entry in entries]
        with progress.task(f"looking for colour in {self._found.name}", len(names)) as advance:
            form = form_of(
                files, names, size=None if self.size is None else _pair(self.size), color=self.color, advance=advance
            )
        numbers = {name: number for number, name in enumerate(layout.classes)}
        labels = np.array([numbers[entry.label] for entry in entries], dtype=np.int64)
        if layout.test:
            parts = np.split(np.arange(len(names)), [len(layout.train)])
        else:
            parts = [*stratified_split(labels, self.test, TEST_SEED)]
        train, test = (Split(DecodedImages(files, [names[row] for row in rows], form), labels[rows]) for rows in parts)
        return LabelledData(train, test, layout.classes, {"resize": FILTER} if form.scaled else {})


def image_entries(names: Sequence[str], root: Path) -> tuple[Entry, ...]:
    """As `entries_of`."""
    return entries_of(names, root, KIND)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
