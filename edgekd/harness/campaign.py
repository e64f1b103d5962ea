"""A row of agent processes that measure the same models: the data of one comparison, growing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekd.config.target import RuntimeSettings
from edgekd.devices.base import Workspace
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import (
    Cold,
    Described,
    Event,
    JobModel,
    MeasureJob,
    Observed,
    Overhead,
    Preprocess,
    SetDone,
    job_runtime,
)
from edgekd.harness.samples import Load, Process, loads_of, read_process
from edgekd.harness.settings import require_settings
from edgekd.records.environment import KernelState, Machine, Settings

BLOCK_S = 0.005  # of one model at a stretch: short against what drifts, long against the change of model
SETTLE_S = 0.001  # not timed after a change of model, while caches and idle workers settle
SET_S = 0.1  # of one load of one model: more loads tell more than longer ones
MIN_TURNS = 3
PROCESS_S = 1.0  # an agent starts no further set after so long; a fresh process follows
SETS_IN_PROCESS = 8
SAMPLES_KEPT = 1 << 23  # over a whole measurement: 64 MiB


@dataclass(frozen=True)
class Subject:
    """A model to measure; `inputs` is a .npy or .npz file; with `preprocess` it is timed end to end, from the
    uint8 images in `inputs` to the label."""

    path: Path
    inputs: Path | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    preprocess: Preprocess | None = None


@dataclass
class Campaign:
    """`run_process` adds one process to it; the rest is what has been seen so far."""

    workspace: Workspace
    folder: Path
    runtime: RuntimeSettings
    models: Sequence[JobModel]
    seed: int
    seconds: float
    begun_s: float = field(default_factory=time.monotonic)
    processes: list[Process] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    cold: list[Cold] = field(default_factory=list)
    states: list[tuple[KernelState, KernelState]] = field(default_factory=list)
    overheads: list[Overhead] = field(default_factory=list)
    machine: Machine | None = None
    settings: Settings | None = None
    sets: int = 0
    longest_s: float = 0.0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.begun_s

    @property
    def representative(self) -> bool:
        """Whether there is more than one process, and a cold start of every model."""
        return len(self.processes) >= max(2, len(self.models))

    @property
    def over(self) -> bool:
        """Whether one more process would not fit into the time."""
        return self.elapsed_s + self.longest_s > self.seconds

    def run_process(self) -> None:
        number = len(self.processes)
        began = time.monotonic()
        result = f"samples-{number}.npz"
        converse(self.workspace, self._job(number, result), self._receive)
        self.workspace.fetch(result, self.folder / result)
        process = read_process(self.folder / result, number)
        (self.folder / result).unlink()
        self.processes.append(process)
        self.loads += loads_of(process, self.sets)
        self.sets += len({int(row[0]) for row in process.loads})
        self.longest_s = max(self.longest_s, time.monotonic() - began)

    def _job(self, number: int, result: str) -> MeasureJob:
        generator = np.random.default_rng([self.seed, number])
        count = len(self.models)
        orders = [generator.permutation(count).tolist() for _ in range(SETS_IN_PROCESS)]
        # the first load of a process is a cold start: each model has its turn
        first = number % count
        orders[0] = [first, *(position for position in orders[0] if position != first)]
        idle_spin = self.runtime.spinning and max(self.runtime.threads, self.runtime.inter_op_threads) > 1
        processes = max(1.0, self.seconds / PROCESS_S)
        return MeasureJob(
            runtime=job_runtime(self.runtime),
            models=tuple(self.models),
            sets=tuple(map(tuple, orders)),
            together=not idle_spin,  # workers of one session would spin through the blocks of the others
            seed=int(generator.integers(1 << 31)),
            set_s=SET_S * count,
            min_turns=MIN_TURNS,
            block_s=BLOCK_S,
            settle_s=SETTLE_S,
            deadline_s=min(PROCESS_S, max(0.0, self.seconds - self.elapsed_s)),
            capacity=max(1000, round(SAMPLES_KEPT / (processes * SETS_IN_PROCESS))),
            observe=number == 0,
            result=self.workspace.path(result),
        )

    def _receive(self, event: Event) -> None:
        if isinstance(event, Cold):
            self.cold.append(event)
        elif isinstance(event, SetDone):
            self.states.append((event.before, event.after))
        elif isinstance(event, Overhead):
            self.overheads.append(event)
        elif isinstance(event, Observed):
            require_settings(job_runtime(self.runtime), event)
            self.settings = Settings.model_validate(event.model_dump(exclude={"event"}))
        elif isinstance(event, Described):
            self.machine = Machine.model_validate(event.model_dump(exclude={"event"}))
