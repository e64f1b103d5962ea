"""The digest of a file or folder, remembered so that unchanged data is not read again."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from edgekd.memory import keep, recall

MEMORY = "digests.json"
MOST_WAYS = 1000  # to one folder: links to folders of links double them with every level
SETTLED_NS = 2_000_000_000  # a file touched more recently could change again without a new time stamp


def content_digest(root: Path, names: Iterable[str] | None = None, *, hidden: bool = False) -> str:
    """The sha256 (hex) of a file's bytes, or of a folder's files by relative name and content; none but regular files.

    names: the files of the folder that count, relative to it and in a fixed order; default: all, with `hidden` those
    too whose names or folders' names begin with a dot. The digest
    depends on names and bytes only. Sizes and times of files decide no more than whether they are read again.

    Raises:
        OSError: something cannot be read.
    """
    root = root.resolve(strict=True)
    # plain strings: a Path for each of 60,000 files would take longer than asking the system about them
    if root.is_dir():
        files = {name: f"{root}/{name}" for name in (all_files(root, hidden=hidden) if names is None else names)}
    else:
        files = {"": str(root)}
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


def same_content(one: Path, other: Path) -> bool:
    """Whether two files, or two folders, hold the same; False where one cannot be read, which is told when it is."""
    try:
        sizes = {path.stat().st_size for path in (one, other) if path.is_file()}
        return one.is_file() == other.is_file() and len(sizes) < 2 and content_digest(one) == content_digest(other)
    except OSError:
        return False


def all_files(root: Path, *, hidden: bool = False) -> list[str]:
    """Every file below a folder, relative with `/`, sorted; without `hidden` no file or folder whose name begins with a
    dot. Links are followed, but for those that lead to a folder above them, where everything is found already.

    Raises:
        OSError: a folder cannot be read, or links lead to the same folders over and over.
    """
    found: list[str] = []
    ways: Counter[str] = Counter()
    above = {str(root): frozenset[str]()}  # the real folders that each folder lies in
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_raise):
        real, outer = os.path.realpath(folder), above.pop(folder)
        if real in outer:
            folders.clear()
            continue
        ways[real] += 1
        if ways[real] > MOST_WAYS:
            raise OSError(errno.ELOOP, f"more than {MOST_WAYS} ways lead there, by links to links", real)
        folders[:] = sorted(name for name in folders if hidden or not name.startswith("."))
        above.update((os.path.join(folder, name), outer | {real}) for name in folders)  # noqa: PTH118 - as above
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if below == "." else f"{below}/"
        found += [f"{prefix}{name}" for name in files if hidden or not name.startswith(".")]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def _stamp(files: dict[str, str]) -> tuple[str, int]:
    """What changes when a file is touched, and the newest time in it (ns since 1970)."""
    hasher = hashlib.sha256()
    newest_ns = 0
    for name, path in files.items():
        status = os.stat(path)  # noqa: PTH116 - as above
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for, a device never ends
            raise OSError(errno.EINVAL, "not a regular file", path)
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
