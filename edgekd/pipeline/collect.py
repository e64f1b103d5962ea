"""Garbage collection: what no recent run used leaves the store."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from edgekd.errors import StoreError
from edgekd.pipeline.store import Store, guarded
from edgekd.records.stage import StageRecord


@dataclass(frozen=True)
class Collected:
    records: int
    blobs: int
    work_folders: int
    freed_bytes: int


def collect(store: Store, *, older_than_days: float, dry_run: bool) -> Collected:
    """What was (or, in a dry run, would be) removed: records unused for that long, and what only they held.

    Raises:
        StoreError: a run is using the store.
    """
    horizon = time.time() - older_than_days * 86400
    with guarded(store.root), _exclusive(store):
        kept: set[str] = set()
        stale: list[Path] = []
        for path in store.records_folder.glob("*/*.json"):
            try:
                record = StageRecord.model_validate_json(path.read_bytes())
            except ValueError:
                stale.append(path)
                continue
            if path.stat().st_mtime < horizon:
                stale.append(path)
            else:
                kept.update(artifact.digest for artifact in record.outputs.values())
        blobs = [path for path in store.blobs.glob("*/*") if path.stem not in kept]
        notes = [path for path in store.last_folder.glob("*/*") if path.stat().st_mtime < horizon]
        work = [path for path in store.work_folder.iterdir() if path.stat().st_mtime < horizon]
        cached = [path for path in store.cache.rglob("*") if path.is_file() and path.stat().st_mtime < horizon]
        files = [*stale, *blobs, *cached]
        freed = sum(path.stat().st_size for path in files) + sum(_folder_bytes(path) for path in work)
        if not dry_run:
            for path in (*files, *notes):
                path.unlink(missing_ok=True)
            for path in work:
                shutil.rmtree(path, ignore_errors=True)
            for path in store.locks.glob("*.lock"):
                if path.name != "gc.lock":
                    path.unlink(missing_ok=True)
        return Collected(len(stale), len(blobs) + len(cached), len(work), freed)


@contextlib.contextmanager
def _exclusive(store: Store) -> Iterator[None]:
    """Holds the gc lock, which keeps new runs out, once no run is in progress."""
    with FileLock(store.locks / "gc.lock"):
        for path in store.locks.glob("run-*.lock"):
            try:
                with FileLock(path, timeout=0):
                    pass
            except Timeout:
                raise StoreError("a run is using the store", hint="try again when it has finished") from None
        yield


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
