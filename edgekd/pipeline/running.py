"""Which runs are under way, and which ended without a word: killed, `os._exit` in own code, a power cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from edgekd.pipeline.store import guarded

LOCK = "running.lock"
VANISHED = "ended without a word: killed, or the power failed"


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Held by a run for as long as it works in its folder. The file outlives a process that vanishes, the lock does
    not."""
    with guarded(folder):
        lock = FileLock(folder / LOCK)
        lock.acquire()
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        lock.release()


def under_way(folder: Path) -> bool:
    """Whether somebody is at the run of this folder."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def vanished_runs(parent: Path) -> list[Path]:
    """The runs of a pipeline, whose folders lie in `parent`, that came to no end and that nobody is at any more."""
    return [path.parent for path in sorted(parent.glob(f"*/{LOCK}")) if not under_way(path.parent)]


def lay_to_rest(folder: Path) -> None:
    """It is told no more."""
    (folder / LOCK).unlink(missing_ok=True)
