"""A row of agent processes that measure the same models: the data of one comparison, growing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekd.config.target import RuntimeSettings
from edgekd.devices.base import Workspace
from edgekd.errors import StageError
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import ColdJob, JobModel, MeasureJob, job_runtime
from edgekd.harness.samples import Load, Process, loads_of, read_process
from edgekd.harness.sets import Seen, load_orders
from edgekd.harness.settings import require_settings, spins_idle

BLOCK_S = 0.005  # of one model at a stretch: short against what drifts, long against the change of model
SETTLE_S = 0.001  # not timed after a change of model, while caches and idle workers settle
LOAD_S = 0.1  # of one load of one model: more loads tell more than longer ones
MIN_TURNS = 3
PROCESS_S = 1.0  # an agent starts no further set after so long; a fresh process follows
SETS_IN_PROCESS = 8
MOST_PROCESSES = 300  # with more time than that many need, all of them and their sets become longer
SAMPLES_KEPT = 1 << 23  # over a whole measurement: 64 MiB
COLD_STARTS = 5  # of each model, each in a process of its own


@dataclass(frozen=True)
class Pace:
    """How long a process starts sets, how long a load of one model is measured, and the samples kept of a set."""

    process_s: float
    load_s: float
    capacity: int


def pace_of(seconds: float) -> Pace:
    """The pace of a measurement of so many seconds, such that it keeps no more than SAMPLES_KEPT in all."""
    longer = max(1.0, seconds / (MOST_PROCESSES * PROCESS_S))
    processes = max(1.0, seconds / (longer * PROCESS_S))
    return Pace(longer * PROCESS_S, longer * LOAD_S, round(SAMPLES_KEPT / (processes * SETS_IN_PROCESS)))


@dataclass
class Campaign:
    """`run_process` adds one process to it; the rest is what has been measured so far."""

    workspace: Workspace
    folder: Path
    runtime: RuntimeSettings
    models: Sequence[JobModel]
    seed: int
    seconds: float
    processes: list[Process] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    sets: int = 0
    seen: Seen = field(default_factory=Seen)
    longest_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        return self.seen.elapsed_s

    @property
    def representative(self) -> bool:
        """Whether there is more than one process, and a cold start of every model."""
        return len(self.processes) >= max(2, len(self.models))

    @property
    def over(self) -> bool:
        """Whether one more process, and the cold starts to come, would not fit into the time."""
        return self.elapsed_s + self.longest_s + self._cold_reserve_s > self.seconds

    @property
    def missing_cold_starts(self) -> list[int]:
        """The model of each cold start that is still to be made, by number, in turns."""
        counts = [sum(1 for each in self.seen.cold if each.model == model.name) for model in self.models]
        return [n for turn in range(COLD_STARTS) for n, count in enumerate(counts) if count <= turn]

    @property
    def _cold_reserve_s(self) -> float:
        if not self.seen.cold:
            return 0.0
        one = float(np.median([each.cold_start_s for each in self.seen.cold]))
        return one * len(self.missing_cold_starts)

    def run_process(self) -> None:
        number = len(self.processes)
        began = self.elapsed_s
        result = f"samples-{number}.npz"
        converse(self.workspace, self._job(number, result), self.seen.receive)
        if self.seen.settings is None or self.seen.machine is None or not self.seen.overheads or not self.seen.cold:
            raise StageError("the device does not say how it measured", hint="is another program answering there?")
        if number == 0:
            require_settings(job_runtime(self.runtime), self.seen.settings)
        self.workspace.fetch(result, self.folder / result)
        process = read_process(self.folder / result, number)
        (self.folder / result).unlink()
        self.processes.append(process)
        self.loads += loads_of(process, self.sets)
        self.sets += len({int(row[0]) for row in process.loads})
        self.longest_s = max(self.longest_s, self.elapsed_s - began)

    def run_cold_start(self, model: int) -> None:
        job = ColdJob(runtime=job_runtime(self.runtime), models=(self.models[model],))
        converse(self.workspace, job, self.seen.receive)

    def _job(self, number: int, result: str) -> MeasureJob:
        count = len(self.models)
        generator = np.random.default_rng([self.seed, number])
        orders = load_orders(generator, count, SETS_IN_PROCESS)
        # the first load of a process is a cold start: each model has its turn
        first = number % count
        orders[0] = (first, *(position for position in orders[0] if position != first))
        pace = pace_of(self.seconds)
        return MeasureJob(
            runtime=job_runtime(self.runtime),
            models=tuple(self.models),
            sets=tuple(orders),
            process_s=min(pace.process_s, max(0.0, self.seconds - self.elapsed_s)),
            together=not spins_idle(self.runtime),
            seed=int(generator.integers(1 << 31)),
            set_s=pace.load_s * count,
            min_turns=MIN_TURNS,
            block_s=BLOCK_S,
            settle_s=SETTLE_S,
            capacity=pace.capacity,
            observe=number == 0,
            result=self.workspace.path(result),
        )
