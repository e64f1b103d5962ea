"""The user's own images, one folder for each class, in a folder or a tar archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator

from edgekd.data.base import Amount, Dataset, find_data
from edgekd.data.content import content_digest
from edgekd.data.decode import FILTER, Color, DecodedImages, form_of
from edgekd.data.image_files import FolderFiles, open_files
from edgekd.data.samples import LabelledData, Split
from edgekd.data.split import stratified_split
from edgekd.errors import ConfigError
from edgekd.progress import Progress

LAYOUT = "expected train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"
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
        layout = _layout(files.names, self._found)
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One image file and the class that its folder says it is of."""

    name: str
    label: str


@dataclass(frozen=True)
class Layout:
    """`test` is empty where the source has no split of its own."""

    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    classes: tuple[str, ...]


def _layout(names: Sequence[str], root: Path) -> Layout:
    """The classes and their files.

    Raises:
        ConfigError: no images, images outside class folders, one class, or splits whose classes differ.
    """
    if not names:
        raise ConfigError(f"{root}: no images found", hint=LAYOUT)
    skip = _wrapping_folders(names)
    tops = {name.split("/")[skip] for name in names}
    if "train" in tops and tops - {"train", "test"}:
        others = ", ".join(sorted(tops - {"train", "test"}))
        raise ConfigError(
            f"{root}: beside train/ there is {others}",
            hint="only train/ and test/ may stand there; the validation images are split from train/",
        )
    test: tuple[Entry, ...] = ()
    if "train" in tops:
        train, test = (
            _entries([name for name in names if name.split("/")[skip] == split], skip + 1, root)
            for split in ("train", "test")
        )
    else:
        train = _entries(names, skip, root)
    classes = tuple(sorted({entry.label for entry in train}))
    if len(classes) < 2:
        raise ConfigError(f"{root}: only one class, {classes[0]!r}", hint=f"{LAYOUT}, with two classes or more")
    if test:
        _same_classes(set(classes), {entry.label for entry in test}, root)
    return Layout(train, test, classes)


def image_entries(names: Sequence[str], root: Path) -> tuple[Entry, ...]:
    """All images, those of a test folder too, each with its class; "" where none lies in a class folder.

    Raises:
        ConfigError: no images, or some in class folders and some not.
    """
    if names and len({"/".join(name.split("/")[:-1]) for name in names}) == 1:
        return tuple(Entry(name, "") for name in names)
    layout = _layout(names, root)
    return (*layout.train, *layout.test)


def _wrapping_folders(names: Sequence[str]) -> int:
    """How many folders, one in another, everything lies in, as when an archive holds its own folder's name."""
    parts = [name.split("/") for name in names]
    depth = 0
    while all(len(each) >= depth + 3 for each in parts):
        heads = {each[depth] for each in parts}
        if len(heads) > 1 or heads <= {"train", "test"}:
            break
        depth += 1
    return depth


def _entries(names: Sequence[str], skip: int, root: Path) -> tuple[Entry, ...]:
    entries = []
    for name in names:
        parts = name.split("/")
        if len(parts) < skip + 2:
            raise ConfigError(f"{root}: {name} is in no class folder", hint=LAYOUT)
        entries.append(Entry(name, parts[skip]))
    return tuple(sorted(entries, key=lambda entry: (entry.label, entry.name)))


def _same_classes(train: set[str], test: set[str], root: Path) -> None:
    for here, there, missing in (("train", "test", train - test), ("test", "train", test - train)):
        if missing:
            raise ConfigError(
                f"{root}: the classes differ: {', '.join(sorted(missing))} in {here}/ but not in {there}/",
                hint="both splits need the same class folders",
            )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
