"""What every row of agent processes has in common: what the agent tells meanwhile, and when the row ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.devices.base import Workspace
from edgekd.harness.conversation import converse
from edgekd.harness.protocol import Cold, Described, Event, Observed, Overhead, PeriodicJob, SetDone, ThroughputJob
from edgekd.harness.replies import read_integers
from edgekd.progress import Progress
from edgekd.records.environment import KernelState, Machine, Settings

TICKS_PER_S = 10


@dataclass
class Seen:
    """What the agent has reported beside the samples."""

    cold: list[Cold] = field(default_factory=list)
    states: list[tuple[KernelState, KernelState]] = field(default_factory=list)
    overheads: list[Overhead] = field(default_factory=list)
    machine: Machine | None = None
    settings: Settings | None = None

    def receive(self, event: Event) -> None:
        if isinstance(event, Cold):
            self.cold.append(event)
        elif isinstance(event, SetDone):
            self.states.append((event.before, event.after))
        elif isinstance(event, Overhead):
            self.overheads.append(event)
        elif isinstance(event, Observed):
            self.settings = Settings.model_validate(event.model_dump(exclude={"event"}))
        elif isinstance(event, Described):
            self.machine = Machine.model_validate(event.model_dump(exclude={"event"}))


def load_orders(generator: np.random.Generator, models: int, sets: int) -> list[tuple[int, ...]]:
    """For each set the models in random order."""
    return [tuple(generator.permutation(models).tolist()) for _ in range(sets)]


def run_for(
    workspace: Workspace,
    folder: Path,
    seconds: float,
    make_job: Callable[[int, str], PeriodicJob | ThroughputJob],
    progress: Progress,
    columns: dict[str, int],
) -> tuple[list[dict[str, NDArray[np.int64]]], Seen]:
    """The arrays of each process until the time is over, of two at least; `make_job` takes the process's number
    and the path of its result, `columns` what is in it, as `read_integers` takes it."""
    seen = Seen()
    results: list[dict[str, NDArray[np.int64]]] = []
    begun = time.monotonic()
    longest = 0.0
    total = round(seconds * TICKS_PER_S)
    shown = 0
    with progress.task("measure", total) as advance:
        while len(results) < 2 or time.monotonic() - begun + longest <= seconds:
            began = time.monotonic()
            name = f"result-{len(results)}.npz"
            converse(workspace, make_job(len(results), workspace.path(name)), seen.receive)
            workspace.fetch(name, folder / name)
            results.append(read_integers(folder / name, columns))
            longest = max(longest, time.monotonic() - began)
            reached = min(total, round((time.monotonic() - begun) * TICKS_PER_S))
            advance(reached - shown)
            shown = reached
        advance(total - shown)
    return results, seen
