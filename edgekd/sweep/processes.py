"""Jobs in processes of this machine, which live as long as the sweep: torch is imported once in each."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from edgekd.pipeline.store import Store, store_root
from edgekd.progress import Advance, Progress
from edgekd.sweep.job import Failed, Job, Outcome, perform
from edgekd.sweep.workers import ATTEMPTS

TOLD_EVERY_S = 0.2
CLOSING_S = 20.0  # to write a checkpoint and leave


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | None = None
    tasks: dict[int, tuple[ExitStack, Advance]] = field(default_factory=dict)


class Processes:
    """cores: what each of them may compute with; None for all, as in a run by itself."""

    def __init__(self, count: int, cores: int | None, progress: Progress, *, follow: bool) -> None:
        self._progress = progress
        self._cores = cores
        self._follow = follow
        self._queue: deque[Job] = deque()
        self._attempts: dict[int, int] = {}
        self._warned: set[str] = set()
        self._context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._count = count
        self._workers: list[_Worker] = []

    def submit(self, job: Job) -> None:
        self._queue.append(job)
        self._hand_out()

    def finished(self) -> tuple[Job, Outcome]:
        while True:
            done = self.poll(None)
            if done is not None:
                return done

    def poll(self, timeout_s: float | None) -> tuple[Job, Outcome] | None:
        """A finished job, or None if there was none in that time."""
        busy = {worker.connection: worker for worker in self._workers if worker.job is not None}
        for connection in wait(list(busy), timeout_s):
            assert isinstance(connection, Connection)
            done = self._heard(busy[connection])
            if done is not None:
                self._hand_out()
                return done
        return None

    def close(self) -> None:
        for worker in self._workers:
            if worker.job is not None and worker.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGINT)
            with contextlib.suppress(OSError):
                worker.connection.close()
        ends = time.monotonic() + CLOSING_S
        for worker in self._workers:
            worker.process.join(max(0.0, ends - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            self._forget_tasks(worker)
        self._workers.clear()

    def _hand_out(self) -> None:
        while self._queue:
            idle = next((worker for worker in self._workers if worker.job is None), None)
            if idle is None:
                if len(self._workers) == self._count:
                    return
                idle = self._started()
            job = self._queue.popleft()
            idle.job = job
            with contextlib.suppress(OSError):  # it died: told when it is listened to
                idle.connection.send(job)

    def _started(self) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(there, self._cores, self._follow), daemon=True, name="edgekd-sweep"
        )
        process.start()
        there.close()
        worker = _Worker(process, here)
        self._workers.append(worker)
        return worker

    def _heard(self, worker: _Worker) -> tuple[Job, Outcome] | None:
        job = worker.job
        assert job is not None
        try:
            kind, message = worker.connection.recv()
        except (EOFError, OSError):
            return self._buried(worker, job)
        if kind == "done":
            worker.job = None
            self._attempts.pop(id(job), None)
            self._forget_tasks(worker)
            return job, message
        if kind == "say":
            if message not in self._warned:
                self._warned.add(message)
                self._progress.say(message)
        elif kind == "task":
            number, label, total = message
            stack = ExitStack()
            worker.tasks[number] = (stack, stack.enter_context(self._progress.task(f"{job.label}: {label}", total)))
        elif kind == "advance":
            number, amount, note = message
            worker.tasks[number][1](amount, note=note)
        else:
            worker.tasks.pop(message)[0].close()
        return None

    def _buried(self, worker: _Worker, job: Job) -> tuple[Job, Outcome] | None:
        """Begins the job of a process that died again, in a new one, unless that was tried often enough."""
        worker.process.join()
        worker.connection.close()
        self._forget_tasks(worker)
        self._workers.remove(worker)
        code = worker.process.exitcode or 0
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        tried = self._attempts[id(job)] = self._attempts.get(id(job), 0) + 1
        if tried == ATTEMPTS:
            return job, Failed(f"its process {how}, {ATTEMPTS} times: is the memory large enough?")
        self._progress.say(f"warning: {job.label}: its process {how}; it is begun again")
        self._queue.appendleft(job)
        self._hand_out()
        return None

    @staticmethod
    def _forget_tasks(worker: _Worker) -> None:
        for stack, _ in worker.tasks.values():
            stack.close()
        worker.tasks.clear()


def _serve(connection: Connection, cores: int | None, follow: bool) -> None:
    """What a worker process does until nobody listens any more."""
    from edgekd.stages.session import share_processor

    _end_with(multiprocessing.parent_process())
    if cores is not None:
        os.environ["OMP_NUM_THREADS"] = str(cores)  # read by torch when it is imported, and by the training
    share_processor()
    store = Store(store_root())
    with contextlib.suppress(KeyboardInterrupt, EOFError, OSError):
        while True:
            connection.send(("done", perform(connection.recv(), store, _Told(connection, follow=follow))))


def _end_with(parent: BaseProcess | None) -> None:
    """Ends this process as soon as the other one has ended, however that was: it must not train on for nobody."""
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Told:
    """A `Progress` that is sent to the process that drives the sweep: warnings, and tasks where they are followed."""

    def __init__(self, connection: Connection, *, follow: bool) -> None:
        self._connection = connection
        self._follow = follow
        self._numbers = itertools.count()
        self._sending = threading.Lock()

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        if not self._follow:
            yield _unheard
            return
        number = next(self._numbers)
        waiting, told = 0, 0.0

        def advance(amount: int = 1, *, note: str | None = None) -> None:
            nonlocal waiting, told
            waiting += amount
            if time.monotonic() - told > TOLD_EVERY_S:
                self._send("advance", (number, waiting, note))
                waiting, told = 0, time.monotonic()

        self._send("task", (number, label, total))
        try:
            yield advance
        finally:
            self._send("end", number)

    def say(self, line: str) -> None:
        if line.startswith("warning:"):
            self._send("say", line)

    def stop_point(self) -> None:
        pass

    def _send(self, kind: str, message: object) -> None:
        with self._sending:
            self._connection.send((kind, message))


def _unheard(amount: int = 1, *, note: str | None = None) -> None:
    pass
