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


def vanished(folder: Path) -> bool:
    """Whether the run of this folder came to no end, and nobody is at it any more."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return True
    except Timeout:
        return False


def vanished_runs(parent: Path) -> list[Path]:
    """Those among all runs of a pipeline, whose folders lie in `parent`."""
    return [path.parent for path in sorted(parent.glob(f"*/{LOCK}")) if vanished(path.parent)]


def lay_to_rest(folder: Path) -> None:
    """It is told no more."""
    (folder / LOCK).unlink(missing_ok=True)
