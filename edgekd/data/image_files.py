"""Image files in a folder or in a tar archive, found and read the same way."""

from __future__ import annotations

import os
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path

from edgekd.data.content import all_files
from edgekd.errors import ConfigError

ENDINGS = frozenset({"bmp", "gif", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp"})


class ImageFiles(ABC):
    """`names`: the image files, relative with `/`, sorted; others are passed over. `read` may run in threads."""

    names: tuple[str, ...]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The file's bytes."""


class FolderFiles(ImageFiles):
    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = tuple(name for name in all_files(root) if _is_image(name))

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


class TarFiles(ImageFiles):
    """An uncompressed tar, read in place: nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:") as archive:
                members = {
                    member.name.removeprefix("./"): (member.offset_data, member.size)
                    for member in archive
                    if member.isreg() and _is_image(member.name)
                }
        except tarfile.TarError as error:
            raise ConfigError(
                f"{path} is not a readable tar file: {error}",
                hint="it must be an uncompressed .tar, or a folder; unpack a .zip or .tar.gz first",
            ) from error
        self.path = path
        self.names = tuple(sorted(members))
        self._where = members

    def read(self, name: str) -> bytes:
        offset, size = self._where[name]
        with self.path.open("rb", buffering=0) as stream:
            content = os.pread(stream.fileno(), size, offset)
        if len(content) < size:
            raise OSError(f"{self.path} ends inside it")
        return content


def open_files(path: Path) -> ImageFiles:
    return FolderFiles(path) if path.is_dir() else TarFiles(path)


def _is_image(name: str) -> bool:
    """By its ending; hidden files, and the copies that macOS puts into archives, are not."""
    base, _, ending = name.removeprefix("./").rpartition(".")
    hidden = base.startswith((".", "__MACOSX/")) or "/." in base or "/__MACOSX/" in base
    return ending.lower() in ENDINGS and bool(base) and not hidden
