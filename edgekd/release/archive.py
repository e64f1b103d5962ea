"""A bundle as one zip file: the same folder gives the same bytes, and unpacking never leaves its folder."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from pathlib import Path

from edgekd.errors import ConfigError
from edgekd.release.device.verify import is_inside

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
LARGEST_BYTES = 4 * 2**30  # unpacked; no bundle for a device comes near


def write_archive(folder: Path, archive: Path) -> None:
    """Writes every file of `folder`, sorted, without compression: what zlib gives differs by its version."""
    with tempfile.NamedTemporaryFile(dir=archive.parent, prefix=f".{archive.name}.", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as packed:
                for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                    entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                    entry.create_system = 3  # Unix wherever it is made
                    entry.external_attr = (stat.S_IFREG | 0o644) << 16
                    packed.writestr(entry, path.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            temporary.unlink()
            raise
    temporary.chmod(0o644)
    temporary.replace(archive)


def unpack_archive(archive: Path, folder: Path) -> None:
    """Writes the archive's files into `folder`, which it makes.

    Raises:
        ConfigError: not a zip, damaged, a path that leaves the folder, a link, a name twice, or far too large;
            nothing is written then, but for a damaged entry.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            _check_entries(archive, packed.infolist())
            folder.mkdir(parents=True)
            for entry in packed.infolist():
                path = folder / entry.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(packed.read(entry))
    except FileExistsError:
        raise ConfigError(f"{folder} exists already", hint="unpack into a new folder") from None
    except OSError as error:
        raise ConfigError(f"cannot unpack {archive}: {error.strerror or error}") from error
    except ConfigError:
        raise
    except Exception as error:  # encrypted entries and damaged ones raise anything
        told = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{archive} is not a whole zip archive: {told}") from error


def _check_entries(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    for entry in entries:
        mode = entry.external_attr >> 16
        if not is_inside(entry.filename):
            raise ConfigError(f"{archive}: the path {entry.filename!r} leaves the folder")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ConfigError(f"{archive}: {entry.filename!r} is a link or a device, not a file")
        if names.count(entry.filename) > 1:
            raise ConfigError(f"{archive}: {entry.filename!r} is in it twice")
    if sum(entry.file_size for entry in entries) > LARGEST_BYTES:
        raise ConfigError(f"{archive} is larger than a bundle can be")
