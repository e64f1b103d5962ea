"""Jobs as tasks of a Ray cluster, what needs this machine apart.

A task is given the results that it builds on by reference, and takes of their files only those that its machine's store
lacks; where that is the store of this machine (a shared folder) nothing is moved. What it makes comes back likewise.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.errors import EdgekdError, UsageError
from edgekd.extras import install_command
from edgekd.pipeline.store import Store, guarded, store_root, write_atomically
from edgekd.progress import Progress, Silent
from edgekd.records.stage import StageRecord
from edgekd.sweep.job import Failed, Job, Outcome, check_same, perform
from edgekd.sweep.parcel import Contents, artifacts, receive
from edgekd.sweep.processes import Processes
from edgekd.sweep.workers import ATTEMPTS

if TYPE_CHECKING:
    from ray import ObjectRef

LOOK_S = 0.2
HANDED_OUT = (
    2  # tasks for each that can run at once: none waits for this machine, and none is sent long before its time
)


@dataclass(frozen=True)
class Made:
    """outcome of a job, and of its files those that the store which drives the sweep cannot have."""

    outcome: Outcome
    contents: Contents


class Cluster:
    """address: of a running cluster; by default the one that RAY_ADDRESS names or that runs on this machine, else one
    is started on this machine alone. cores, gpu: what a training takes of a machine."""

    def __init__(self, address: str | None, cores: int, progress: Progress, *, gpu: bool, follow: bool) -> None:
        self._ray = _ray()
        self._progress = progress
        self._store = Store(store_root())
        self._here = Processes(1, None, progress, follow=follow)
        self._queue: deque[Job] = deque()
        self._running: dict[ObjectRef, Job] = {}
        self._waiting_here: list[Job] = []
        self._attempts: dict[int, int] = {}
        self._sent: dict[str, ObjectRef] = {}
        self._mark = _mark(self._store)
        self._started = not self._ray.is_initialized()
        if self._started:
            self._ray.init(address=address, log_to_driver=False, configure_logging=False)
        resources = self._ray.cluster_resources()
        most = {"CPU": cores, **({"GPU": 1} if gpu else {})}
        for name, wanted in most.items():
            largest = max((node["Resources"].get(name, 0) for node in self._ray.nodes() if node["Alive"]), default=0)
            if largest < wanted:
                raise UsageError(
                    f"a training takes {wanted} {name}, and no machine of the cluster has as many", hint="--cores 1"
                )
        self._room = HANDED_OUT * max(1, int(min(resources[name] // wanted for name, wanted in most.items())))
        self._task = self._ray.remote(_perform_there).options(
            num_cpus=cores, num_gpus=int(gpu), max_retries=ATTEMPTS - 1
        )
        self._cores = cores

    def submit(self, job: Job) -> None:
        if job.here:
            self._waiting_here.append(job)
            self._here.submit(job)
        else:
            self._queue.append(job)
            self._hand_out()

    def finished(self) -> tuple[Job, Outcome]:
        while True:
            if self._waiting_here:
                done = self._here.poll(0 if self._running else LOOK_S)
                if done is not None:
                    self._waiting_here.remove(done[0])
                    return done
            if self._running:
                ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=LOOK_S)
                for reference in ready:
                    ended = self._ended(reference)
                    self._hand_out()
                    if ended is not None:
                        return ended

    def close(self) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._here.close()
        self._mark.unlink(missing_ok=True)
        if self._started:
            self._ray.shutdown()

    def _hand_out(self) -> None:
        while self._queue and len(self._running) < self._room:
            job = self._queue.popleft()
            sent = {digest: self._reference(digest, path) for digest, path in self._files(job).items()}
            reference = self._task.remote(job, sent, self._mark.name, self._cores)
            self._running[reference] = job

    def _files(self, job: Job) -> dict[str, Path]:
        return {digest: self._store.path(each) for digest, each in artifacts(job.given.values()).items()}

    def _reference(self, digest: str, path: Path) -> ObjectRef:
        """A file in the memory that the cluster shares, put there once."""
        if digest not in self._sent:
            self._sent[digest] = self._ray.put(path.read_bytes())
        return self._sent[digest]

    def _ended(self, reference: ObjectRef) -> tuple[Job, Outcome] | None:
        job = self._running.pop(reference)
        try:
            made: Made = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return self._lost(job, error)
        try:
            receive(_results(made.outcome), made.contents.__getitem__, self._store)
        except EdgekdError as error:
            return job, Failed(str(error), error)
        return job, made.outcome

    def _lost(self, job: Job, error: Exception) -> tuple[Job, Outcome] | None:
        """Begins a job again whose machine died, after Ray itself has given it up, unless that was tried often."""
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        tried = self._attempts[id(job)] = self._attempts.get(id(job), 0) + 1
        if tried == ATTEMPTS:
            return job, Failed(f"its machine was lost {ATTEMPTS} times: {what}")
        self._progress.say(f"warning: {job.label}: {what}; it is begun again")
        self._queue.appendleft(job)
        return None


def _perform_there(job: Job, sent: dict[str, Any], mark: str, cores: int) -> Made:
    """On a machine of the cluster. sent: references to the files that the job builds on; mark: a file that is in this
    machine's store if it is that of the machine that drives the sweep."""
    import ray

    from edgekd.stages.session import share_processor

    os.environ["OMP_NUM_THREADS"] = str(cores)
    share_processor()
    store = Store(store_root())
    try:
        check_same(job)
        receive(job.given.values(), lambda digest: bytes(ray.get(sent[digest])), store)
    except EdgekdError as error:
        return Made(Failed(str(error)), {})
    outcome = perform(job, store, Silent())
    if isinstance(outcome, Failed):
        outcome = replace(outcome, ends=None)  # what ends one machine need not end the others
    shared = (_marks(store) / mark).exists()
    files = {} if shared else artifacts(_results(outcome))
    return Made(outcome, {digest: store.path(each).read_bytes() for digest, each in files.items()})


def _results(outcome: Outcome) -> Collection[StageRecord]:
    return (outcome.reached if isinstance(outcome, Failed) else outcome).values()


def _marks(store: Store) -> Path:
    return store.cache / "sweeps"


def _mark(store: Store) -> Path:
    path = _marks(store) / f"{uuid.uuid4().hex}.mark"
    with guarded(store.root):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, b"")
    return path


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("--workers ray needs ray, which is not here", hint=install_command("ray")) from error
    return ray
