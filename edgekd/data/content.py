"""The digest of a file or folder, remembered so that unchanged data is not read again."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from edgekd.memory import keep, recall

MEMORY = "digests.json"
SETTLED_NS = 2_000_000_000  # a file touched more recently could change again without a new time stamp


def content_digest(root: Path, names: Iterable[str] | None = None) -> str:
    """The sha256 (hex) of a file's bytes, or of a folder's files by relative name and content.

    names: the files of the folder that count, relative to it and in a fixed order; default: all. The digest
    depends on names and bytes only. Sizes and times of files decide no more than whether they are read again.

    Raises:
        OSError: something cannot be read.
    """
    root = root.resolve(strict=True)
    # plain strings: a Path for each of 60,000 files would take longer than asking the system about them
    files = {"": str(root)} if root.is_file() else {name: f"{root}/{name}" for name in names or all_files(root)}
    stamp, newest_ns = _stamp(files)
    remembered = recall(MEMORY)
    match remembered.get(str(root)):
        case [known, str(digest)] if known == stamp:
            return digest
    found = _hash_file(str(root)) if root.is_file() else _hash_files(files)
    if newest_ns < time.time_ns() - SETTLED_NS and _stamp(files)[0] == stamp:
        there = {name: entry for name, entry in remembered.items() if Path(name).exists()}
        keep(MEMORY, {**there, str(root): [stamp, found]})
    return found


def all_files(root: Path) -> list[str]:
    """Every file below a folder, relative with `/`, sorted; hidden ones are left out, links are followed once."""
    found: list[str] = []
    visited: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:  # a link to a folder above would never end
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        found += [f"{prefix}{name}" for name in files if not name.startswith(".")]
    return sorted(found)


def _stamp(files: dict[str, str]) -> tuple[str, int]:
    """What changes when a file is touched, and the newest time in it (ns since 1970)."""
    hasher = hashlib.sha256()
    newest_ns = 0
    for name, path in files.items():
        status = os.stat(path)  # noqa: PTH116 - as above
        # ctime too: tools that copy keep the mtime of the original
        hasher.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}\n".encode())
        newest_ns = max(newest_ns, status.st_mtime_ns, status.st_ctime_ns)
    return hasher.hexdigest(), newest_ns


def _hash_files(files: dict[str, str]) -> str:
    hasher = hashlib.sha256()
    for name, path in files.items():
        hasher.update(f"{name}\0{_hash_file(path)}\n".encode())
    return hasher.hexdigest()


def _hash_file(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
