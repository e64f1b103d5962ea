"""Files of some kind, images unless said otherwise, in a folder or in a tar archive, found and read the same way."""

from __future__ import annotations

import errno
import os
import posixpath
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path

from edgekd.data.content import all_files
from edgekd.errors import ConfigError

LONGEST_CHAIN = 40  # of links that lead to links, as in Linux
ENDINGS = frozenset(
    {"bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp"}
)


class ImageFiles(ABC):
    """`names`: the files with one of the endings, relative with `/`, sorted. `read` may run in threads."""

    names: tuple[str, ...]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The file's bytes."""


class FolderFiles(ImageFiles):
    """
    Raises:
        ConfigError: a folder cannot be read, or a name is not UTF-8.
    """

    def __init__(self, root: Path, endings: frozenset[str] = ENDINGS) -> None:
        self.root = root
        try:
            found = all_files(root)
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or root}: {error.strerror}") from error
        self.names = _readable([name for name in found if _counts(name, endings)], root)

    def read(self, name: str) -> bytes:
        path = self.root / name
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device never ends
            raise OSError(errno.EINVAL, "not a regular file")
        return path.read_bytes()


class TarFiles(ImageFiles):
    """An uncompressed tar, read in place: nothing is unpacked. Links to files that it holds are those files.

    Raises:
        ConfigError: it is none or damaged, or a link cannot be followed.
    """

    def __init__(self, path: Path, endings: frozenset[str] = ENDINGS) -> None:
        try:
            with tarfile.open(path, "r:") as archive:
                members = {_plain(member.name): member for member in archive}
        except (tarfile.TarError, ValueError) as error:  # ValueError: numbers in a damaged header
            raise ConfigError(
                f"{path} is not a readable tar file: {error}",
                hint="it must be an uncompressed .tar, or a folder; unpack a .zip or .tar.gz first",
            ) from error
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
        _refuse_linked_folders(members, path)
        wanted = [name for name, member in members.items() if _counts(name, endings) and not member.isdir()]
        self.path = path
        self.names = _readable(wanted, path)
        self._where = {name: _place(name, members, path) for name in self.names}

    def read(self, name: str) -> bytes:
        offset, size = self._where[name]
        with self.path.open("rb", buffering=0) as stream:
            if os.fstat(stream.fileno()).st_size < offset + size:  # before memory for it is asked for
                raise OSError(f"{self.path} ends inside it")
            return os.pread(stream.fileno(), size, offset)


def open_files(path: Path, endings: frozenset[str] = ENDINGS) -> ImageFiles:
    """
    Raises:
        ConfigError: it is neither a folder nor a tar file, or cannot be read.
    """
    if path.is_dir():
        return FolderFiles(path, endings)
    if not path.is_file():
        raise ConfigError(f"{path} is neither a folder nor a file")
    return TarFiles(path, endings)


def _readable(names: list[str], root: Path) -> tuple[str, ...]:
    """The names, sorted; every one of them can be printed and stored.

    Raises:
        ConfigError: one is not UTF-8.
    """
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(name).decode(errors="backslashreplace")
            raise ConfigError(f"{root}: the name {shown} is not UTF-8", hint="rename the file or folder") from None
    return tuple(sorted(names))


def _plain(name: str) -> str:
    return name.removeprefix("./").rstrip("/")


def _target(name: str, member: tarfile.TarInfo) -> str:
    """What a link in an archive leads to: hard ones from the archive's root, symbolic ones from their own folder."""
    if member.islnk():
        return _plain(member.linkname)
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))


def _place(name: str, members: dict[str, tarfile.TarInfo], path: Path) -> tuple[int, int]:
    """Offset and size of what a name stands for.

    Raises:
        ConfigError: it is no regular file, or a link that leads to none.
    """
    at, member = name, members[name]
    for _ in range(LONGEST_CHAIN):
        if not (member.islnk() or member.issym()):
            break
        at = _target(at, member)
        if at not in members:
            raise ConfigError(f"{path}: {name} is a link to {at}, which is not in the archive")
        member = members[at]
    if not member.isreg() or member.issparse():
        raise ConfigError(f"{path}: {name} is no plain file, or a link to none", hint="pack it without, or as a copy")
    return member.offset_data, member.size


def _refuse_linked_folders(members: dict[str, tarfile.TarInfo], path: Path) -> None:
    """
    Raises:
        ConfigError: images would be missed, because the archive holds a link to one of its folders, or to what may be
            a folder elsewhere.
    """
    folders = {
        "/".join(parts[:depth]) for parts in (name.split("/") for name in members) for depth in range(1, len(parts))
    }
    folders |= {name for name, member in members.items() if member.isdir()}
    for name, member in members.items():
        elsewhere = "." not in posixpath.basename(name) and _target(name, member) not in members
        if member.issym() and (elsewhere or _target(name, member) in folders):
            raise ConfigError(
                f"{path}: {name} is a link to {_target(name, member)}, and no images are found behind it",
                hint="pack what it leads to: tar --dereference follows links",
            )


def _counts(name: str, endings: frozenset[str]) -> bool:
    """By its ending; hidden files, and the copies that macOS puts into archives, are not."""
    base, _, ending = name.removeprefix("./").rpartition(".")
    hidden = base.startswith((".", "__MACOSX/")) or "/." in base or "/__MACOSX/" in base
    return ending.lower() in endings and bool(base) and not hidden
