"""The user's own images, one folder for each class, in a folder or a tar archive."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from edgekd.data.class_folders import Entry, Kind, entries_of
from edgekd.data.decode import FILTER, Color, DecodedImages, form_of
from edgekd.data.files_by_class import FilesByClass
from edgekd.data.image_files import ENDINGS, open_files
from edgekd.data.samples import LabelledData, Split
from edgekd.progress import Progress

KIND = Kind("images", "png")


class ImageFolder(FilesByClass):
    """Images by class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`, of which a share becomes the test split.

    Classes are the names of the folders, sorted. PNG, JPEG, WebP, BMP, GIF, TIFF and PNM files count, at any depth
    below their class; other files are passed over.
    """

    modality: ClassVar[str] = "image"

    endings: ClassVar[frozenset[str]] = ENDINGS

    size: int | tuple[int, int] | None = Field(
        None,
        description="scales every image to this height and width, by a bilinear filter with antialiasing: one number, "
        "or [height, width]",
    )
    color: Color = Field("auto", description="gray, rgb, or auto: gray when no image has any colour")

    @field_validator("size")
    @classmethod
    def _positive(cls, size: int | tuple[int, int] | None) -> int | tuple[int, int] | None:
        if size is not None and not all(1 <= side <= 4096 for side in _pair(size)):
            raise ValueError("a side must be between 1 and 4096 pixels")
        return size

    def load(self, progress: Progress) -> LabelledData:
        files = open_files(self._found)
        found = self.arranged(files.names, KIND)
        with progress.task(f"looking for colour in {self._found.name}", len(found.names)) as advance:
            size = None if self.size is None else _pair(self.size)
            form = form_of(files, found.names, size=size, color=self.color, advance=advance)
        train, test = (
            Split(DecodedImages(files, [found.names[row] for row in rows], form), found.labels[rows])
            for rows in (found.train, found.test)
        )
        return LabelledData(train, test, found.classes, {"resize": FILTER} if form.scaled else {})


def image_entries(names: Sequence[str], root: Path) -> tuple[Entry, ...]:
    """As `entries_of`."""
    return entries_of(names, root, KIND)


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
