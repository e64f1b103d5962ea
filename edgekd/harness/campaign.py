"""A row of agent processes that measure the same models: the data of one comparison, growing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekd.devices.base import Workspace
from edgekd.errors import StageError
from edgekd.harness.conversation import converse
from edgekd.harness.observations import Observations
from edgekd.harness.protocol import ColdJob, JobModel, MeasureJob
from edgekd.harness.samples import read_process
from edgekd.harness.sets import TICKS_PER_S, Listener, load_orders
from edgekd.harness.settings import require_settings, spins_idle
from edgekd.harness.statistics.looks import level_of_look, next_look
from edgekd.harness.summary import summarise
from edgekd.progress import Progress
from edgekd.records.latency import LatencyRecord
from edgekd.records.runtime import RuntimeSettings

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


def pace_of(seconds: float, load_s: float = LOAD_S) -> Pace:
    """The pace of a measurement of so many seconds with loads of so many, longer ones in a very long measurement, such
    that it keeps no more than SAMPLES_KEPT in all."""
    longer = max(1.0, seconds / (MOST_PROCESSES * PROCESS_S))
    processes = max(1.0, seconds / (longer * PROCESS_S))
    return Pace(longer * PROCESS_S, longer * load_s, round(SAMPLES_KEPT / (processes * SETS_IN_PROCESS)))


class Campaign:
    """The processes that make up one measurement; what they see goes into `observations`."""

    def __init__(
        self,
        workspace: Workspace,
        folder: Path,
        runtime: RuntimeSettings,
        models: Sequence[JobModel],
        observations: Observations,
        progress: Progress,
        *,
        cold_starts: int = COLD_STARTS,
        load_s: float = LOAD_S,
    ) -> None:
        self.workspace = workspace
        self.folder = folder
        self.runtime = runtime
        self.models = models
        self.observations = observations
        self.progress = progress
        self.cold_starts = cold_starts
        self.load_s = load_s
        self._listener = Listener(observations.seen, progress)
        self._longest_s = 0.0

    @property
    def budget_s(self) -> float:
        return self.observations.measuring.seconds

    @property
    def elapsed_s(self) -> float:
        return self._listener.elapsed_s

    @property
    def representative(self) -> bool:
        """Whether there is more than one process, and the cold starts that are asked for one by one are begun."""
        return len(self.observations.processes) >= max(2, len(self.models) if self.cold_starts else 0)

    @property
    def over(self) -> bool:
        """Whether one more process, and the cold starts to come, would not fit into the time."""
        return self.elapsed_s + self._longest_s + self._cold_reserve_s > self.budget_s

    @property
    def missing_cold_starts(self) -> list[int]:
        """The model of each cold start that is still to be made, by number, in turns."""
        cold = self.observations.seen.cold
        counts = [sum(1 for each in cold if each.model == model.name) for model in self.models]
        return [n for turn in range(self.cold_starts) for n, count in enumerate(counts) if count <= turn]

    @property
    def _cold_reserve_s(self) -> float:
        cold = self.observations.seen.cold
        if not cold:
            return 0.0
        return float(np.median([each.cold_start_s for each in cold])) * len(self.missing_cold_starts)

    def run(self, settled: Callable[[LatencyRecord], bool]) -> LatencyRecord:
        """Adds processes until what has been observed is `settled` or the time is over, then the cold starts that
        are missing. It looks at the data at times fixed beforehand."""
        total = round(self.budget_s * TICKS_PER_S)
        with self.progress.task("measure", total) as advance:
            ticks = 0
            before: float | None = None
            while True:
                self.run_process()
                reached = min(total, round(self.elapsed_s * TICKS_PER_S))
                advance(reached - ticks, note=f"{self.observations.sets} loads each")
                ticks = reached
                spent = 1.0 if self.over else self.elapsed_s / self.budget_s
                if spent < next_look(before or 0.0):
                    continue
                record = self._look(spent, before)
                before = spent
                if (self.representative and settled(record)) or spent >= 1.0:
                    break
            for number in self.missing_cold_starts:
                self.run_cold_start(number)
            advance(total - ticks)
        self.observations.seconds = self.elapsed_s
        return summarise(self.observations)

    def _look(self, spent: float, before: float | None) -> LatencyRecord:
        self.observations.level = level_of_look(spent, before, 1 - self.observations.measuring.confidence)
        self.observations.looks += 1
        self.observations.seconds = self.elapsed_s
        return summarise(self.observations)

    def run_process(self) -> None:
        number = len(self.observations.processes)
        began = self.elapsed_s
        result = f"samples-{number}.npz"
        converse(self.workspace, self._job(number, result), self._listener)
        seen = self.observations.seen
        if seen.settings is None or seen.machine is None or not seen.overheads or not seen.cold:
            raise StageError("the device does not say how it measured", hint="is another program answering there?")
        if number == 0:
            require_settings(self.runtime, self.models[0].session, seen.settings)
        self.workspace.fetch(result, self.folder / result)
        self.observations.add(read_process(self.folder / result, number))
        (self.folder / result).unlink()
        self._longest_s = max(self._longest_s, self.elapsed_s - began)

    def run_cold_start(self, model: int) -> None:
        converse(self.workspace, ColdJob(runtime=self.runtime, models=(self.models[model],)), self._listener)

    def _job(self, number: int, result: str) -> MeasureJob:
        count = len(self.models)
        generator = np.random.default_rng([self.observations.seed, number])
        orders = load_orders(generator, count, SETS_IN_PROCESS)
        # the first load of a process is a cold start: each model has its turn
        first = number % count
        orders[0] = (first, *(position for position in orders[0] if position != first))
        pace = pace_of(self.budget_s, self.load_s)
        return MeasureJob(
            runtime=self.runtime,
            models=tuple(self.models),
            sets=tuple(orders),
            process_s=min(pace.process_s, max(0.0, self.budget_s - self.elapsed_s)),
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
