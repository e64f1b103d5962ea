"""The content-addressed store: blobs named by their sha256, and one record a finished stage.

blobs/ab/abcd...KIND      read-only, written beside and renamed into place
records/STAGE/FP.json   written last; if it is there and intact, so are its blobs, else it counts as missing
cache/                  what only saves time: answers of teachers, for one; made by those who use it
work/FP/                a running stage's folder: what an interrupted one goes on from
last/PIPELINE/NODE      the fingerprint of what a pipeline had there the last time; only explanations need it
locks/                  one a fingerprint, one a run, one for gc; the kernel frees them when a process dies
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from pydantic import ValidationError

from edgekd.errors import StoreError
from edgekd.pipeline.stage import Stage
from edgekd.progress import Progress
from edgekd.reading import MIB, RefusedError, read_regular
from edgekd.records.artifact import Artifact
from edgekd.records.base import Record, file_digest
from edgekd.records.stage import StageRecord

LOOK_S = 0.2
MOST_BYTES = 256 * MIB  # of a record; a blob's size is in its record


def store_root() -> Path:
    """The folder of the store: EDGEKD_STORE, else in the user's cache."""
    own = os.environ.get("EDGEKD_STORE")
    return Path(own) if own else Path(platformdirs.user_cache_dir("edgekd")) / "store"


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.records_folder = root / "records"
        self.work_folder = root / "work"
        self.last_folder = root / "last"
        self.cache = root / "cache"
        self.locks = root / "locks"
        with guarded(root):
            for folder in (self.blobs, self.records_folder, self.work_folder, self.last_folder, self.locks):
                folder.mkdir(parents=True, exist_ok=True)

    def path(self, artifact: Artifact) -> Path:
        return self.blobs / artifact.digest[:2] / f"{artifact.digest}.{artifact.kind}"

    def find(self, stage: Stage, fingerprint: str, progress: Progress) -> StageRecord | None:
        """The intact record of a finished stage.

        Damage to it or to a blob, or a record in a blob that cannot be read any more, is told and counts as missing.
        """
        path = self._record_path(stage.name, fingerprint)
        record = self.record(stage.name, fingerprint)
        if record is None:
            if path.exists():
                progress.say(f"warning: {stage.name}: its entry in the store is damaged; doing it again")
            return None
        for port, artifact in record.outputs.items():
            trouble = self._damage(artifact) or self._unreadable(artifact, stage.records.get(port))
            if trouble:
                progress.say(f"warning: {stage.name}: {port} in the store is {trouble}; doing it again")
                return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return record

    def record(self, stage: str, fingerprint: str) -> StageRecord | None:
        """The intact record of a finished stage, whatever became of its blobs."""
        try:
            content = read_regular(self._record_path(stage, fingerprint), MOST_BYTES)
            record = StageRecord.model_validate_json(content)
        except (OSError, RefusedError, ValidationError):
            return None
        return record if record.is_intact() and record.fingerprint == fingerprint else None

    def ingest(self, path: Path) -> Artifact:
        """Moves a file into the store. Its ending is its kind."""
        with guarded(self.root):
            artifact = Artifact(kind=path.suffix.lstrip("."), digest=file_digest(path), size_bytes=path.stat().st_size)
            goal = self.path(artifact)
            if goal.exists() and self._damage(artifact) is None:
                path.unlink()
                return artifact
            goal.parent.mkdir(exist_ok=True)
            _flush(path)
            path.chmod(0o444)
            path.replace(goal)
            return artifact

    def commit(self, record: StageRecord) -> None:
        """Writes a record; from here on the stage counts as done."""
        path = self._record_path(record.stage, record.fingerprint)
        with guarded(self.root):
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, record.sealed().model_dump_json(indent=1).encode())

    def work(self, fingerprint: str, *, fresh: bool) -> Path:
        """The folder a stage works in; what an interrupted run left there is kept unless `fresh`."""
        folder = self.work_folder / fingerprint
        with guarded(self.root):
            if fresh:
                shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(folder / "outputs", ignore_errors=True)
            folder.mkdir(exist_ok=True)
        return folder

    def discard_work(self, fingerprint: str) -> None:
        shutil.rmtree(self.work_folder / fingerprint, ignore_errors=True)

    @contextlib.contextmanager
    def stage_lock(self, stage: str, fingerprint: str, progress: Progress) -> Iterator[None]:
        """Held while a stage is looked up or run, so that two runs never do the same work at once."""
        lock = FileLock(self.locks / f"{fingerprint}.lock")
        with guarded(self.root):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                progress.say(f"{stage}: another run is doing it; waiting for its result")
                with progress.task("wait", 1):
                    _acquire(lock, progress)
        try:
            yield
        finally:
            lock.release()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Held for a whole run: keeps `gc` away."""
        with guarded(self.root):
            mine = FileLock(self.locks / f"run-{uuid.uuid4().hex}.lock")
            with FileLock(self.locks / "gc.lock"):
                mine.acquire()
        try:
            yield
        finally:
            mine.release()
            Path(mine.lock_file).unlink(missing_ok=True)

    def _record_path(self, stage: str, fingerprint: str) -> Path:
        return self.records_folder / stage / f"{fingerprint}.json"

    def _damage(self, artifact: Artifact) -> str | None:
        path = self.path(artifact)
        try:
            if path.exists() and not path.is_file():
                return "no file"
            if path.stat().st_size != artifact.size_bytes or file_digest(path) != artifact.digest:
                return "damaged"
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"
        return None

    def _unreadable(self, artifact: Artifact, kind: type[Record] | None) -> str | None:
        if kind is not None:
            try:
                kind.model_validate_json(self.path(artifact).read_bytes())
            except ValidationError:
                return f"no {kind.__name__} as this version of edgekd knows it"
        return None


def _acquire(lock: FileLock, progress: Progress) -> None:
    while True:
        progress.stop_point()
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=LOOK_S)
            return


def write_atomically(path: Path, content: bytes) -> None:
    """The file appears whole or not at all, also through a power cut."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")  # tempfile's own nobody else may read
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def guarded(root: Path) -> Iterator[None]:
    """Turns what the disk refuses into a clear StoreError."""
    try:
        yield
    except OSError as error:
        if is_disk_trouble(error):
            raise disk_error(error, root) from error
        if error.errno in _DAMAGE:
            name = error.filename if error.filename is not None else root
            raise StoreError(f"{(error.strerror or '').lower()}: {name}", hint=_REMOVE) from error
        raise


def is_disk_trouble(error: OSError) -> bool:
    return error.errno in _DISK_HINTS


def disk_error(error: OSError, root: Path) -> StoreError:
    reason = (error.strerror or str(error)).lower()
    name = error.filename if error.filename is not None else root
    return StoreError(f"{reason}: {name}", hint=_DISK_HINTS[error.errno or 0])


_ELSEWHERE = "set EDGEKD_STORE to a folder that can be written"
_SPACE = (
    "free some space (`edgekd gc` removes what no recent run used), or set EDGEKD_STORE to another disk; "
    "the run goes on where it stopped"
)
_REMOVE = "something else is where the store keeps this: remove it, or set EDGEKD_STORE to a new folder"
_DAMAGE = (errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENOENT)
_DISK_HINTS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: _SPACE,
    errno.EROFS: _ELSEWHERE,
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.ENOTDIR: _ELSEWHERE,
    errno.EIO: "the disk reports errors: check it before trusting anything on it",
}


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
