"""Temporary folders that do not outlive the process that made them by much, also where it was killed.

Each is held by a lock (flock) on the folder itself, which the kernel frees with its owner, whatever ended that. The
next process that makes one here removes those that nobody holds. Folders of before there was a lock have other names,
and stay: nobody can tell whether somebody is at one.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
YOUNG_S = 600.0
"""A folder that was changed since then is left alone: its owner may be about to lock it, or what it started about to
notice that it is gone."""


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder, gone afterwards.

    Raises:
        OSError: none can be made.
    """
    parent = tempfile.gettempdir()
    _sweep_once(parent)
    made = tempfile.TemporaryDirectory(prefix=_prefix(), dir=parent)
    descriptor = os.open(made.name, FOLDER)
    try:
        _hold(descriptor)
        with made as name:
            yield Path(name)
    finally:
        os.close(descriptor)


def sweep(parent: str) -> None:
    """Removes the folders there whose owners are gone: by name, user, age and lock."""
    ours = re.compile(re.escape(_prefix()) + "[a-z0-9_]{8}")
    with suppress(OSError), os.scandir(parent) as entries:
        for path in [entry.path for entry in entries if ours.fullmatch(entry.name)]:
            with suppress(OSError):  # no folder but a link, or another process has just removed it
                descriptor = os.open(path, FOLDER)
                try:
                    # in this order: the lock of a young one is not tried, for its owner must get it
                    if _is_old(os.fstat(descriptor)) and _hold(descriptor):
                        shutil.rmtree(path)  # follows no link
                finally:
                    os.close(descriptor)


@functools.cache
def _sweep_once(parent: str) -> None:
    sweep(parent)


def _is_old(facts: os.stat_result) -> bool:
    return facts.st_uid == os.geteuid() and time.time() - facts.st_mtime > YOUNG_S


def _hold(descriptor: int) -> bool:
    """Until it is closed; False where somebody else holds the folder, or its file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@functools.cache
def _prefix() -> str:
    """With the machine in it: where several share a folder, locks may be known to each of them alone."""
    return f"edgekd-tmp-{hashlib.sha256(platform.node().encode()).hexdigest()[:8]}-"
