"""Garbage collection: what no recent run used leaves the store."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from edgekd.errors import StoreError
from edgekd.pipeline.store import MOST_BYTES, Store, guarded
from edgekd.reading import read_regular
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
        for path in _files(store.records_folder, 2):
            try:
                record = StageRecord.model_validate_json(read_regular(path, MOST_BYTES))
            except (OSError, ValueError):
                stale.append(path)
                continue
            if path.lstat().st_mtime < horizon:
                stale.append(path)
            else:
                kept.update(artifact.digest for artifact in record.outputs.values())
        blobs = [path for path in _files(store.blobs, 2) if path.stem not in kept]
        notes = [path for path in _files(store.last_folder, 2) if path.lstat().st_mtime < horizon]
        work = [path for path in _folders(store.work_folder) if path.lstat().st_mtime < horizon]
        cached = [path for path in _files(store.cache) if path.lstat().st_mtime < horizon]
        files = [*stale, *blobs, *cached]
        freed = sum(path.lstat().st_size for path in files) + sum(_folder_bytes(path) for path in work)
        if not dry_run:
            for path in (*files, *notes):
                path.unlink(missing_ok=True)
            for path in work:
                shutil.rmtree(path, ignore_errors=True)
            for path in _files(store.locks, 1):
                if path.suffix == ".lock" and path.name != "gc.lock":
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


def _files(folder: Path, depth: int | None = None) -> Iterator[Path]:
    """What lies below a folder and is no folder, links themselves included, at that depth where one is given; no link
    is followed, the folder itself included: what it leads to is not the store's to remove."""
    if folder.is_symlink():
        return
    for root, _, names in os.walk(folder):  # follows no links to folders, and lists them among the folders
        level = len(Path(root).relative_to(folder).parts) + 1
        if depth is None or level == depth:
            yield from (Path(root) / name for name in names)


def _folders(folder: Path) -> list[Path]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _folder_bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder))
