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
from edgekd.harness.protocol import (
    Cold,
    Described,
    Event,
    Observed,
    Overhead,
    PeriodicJob,
    SetDone,
    ThroughputJob,
    Waited,
)
from edgekd.harness.replies import read_integers
from edgekd.progress import Advance, Progress
from edgekd.records.environment import KernelState, Machine, Settings

TICKS_PER_S = 10
WAIT_TOLD_S = 1.0


@dataclass
class Seen:
    """What the agent has reported beside the samples, since `begun_s`."""

    begun_s: float = field(default_factory=time.monotonic)
    cold: list[Cold] = field(default_factory=list)
    states: list[tuple[KernelState, KernelState]] = field(default_factory=list)
    overheads: list[Overhead] = field(default_factory=list)
    machine: Machine | None = None
    settings: Settings | None = None
    waited_s: float = 0.0
    heard: Callable[[Event], None] = lambda _event: None
    """Told of every event, to show that it goes on."""

    @property
    def elapsed_s(self) -> float:
        """Without what it has waited for other measurements on the device."""
        return time.monotonic() - self.begun_s - self.waited_s

    def receive(self, event: Event) -> None:
        self.heard(event)
        if isinstance(event, Cold):
            self.cold.append(event)
        elif isinstance(event, SetDone):
            self.states.append((event.before, event.after))
        elif isinstance(event, Waited):
            self.waited_s += event.seconds
        elif isinstance(event, Overhead):
            self.overheads.append(event)
        elif isinstance(event, Observed):
            self.settings = Settings.model_validate(event.model_dump(exclude={"event"}))
        elif isinstance(event, Described):
            self.machine = Machine.model_validate(event.model_dump(exclude={"event"}))


def shown(progress: Progress, advance: Advance) -> Callable[[Event], None]:
    """What shows events to the user: a sign of life, and why nothing moves while another measurement has its turn."""
    said = False

    def hear(event: Event) -> None:
        nonlocal said
        advance(0)
        if isinstance(event, Waited) and event.seconds > WAIT_TOLD_S and not said:
            said = True
            progress.say("another measurement runs on this machine: waiting for it, in turns")

    return hear


def load_orders(generator: np.random.Generator, models: int, sets: int) -> list[tuple[int, ...]]:
    """For each set the models in random order."""
    return [tuple(generator.permutation(models).tolist()) for _ in range(sets)]


def run_for(
    workspace: Workspace,
    folder: Path,
    seconds: float,
    make_job: Callable[[int, str, float], PeriodicJob | ThroughputJob],
    progress: Progress,
    columns: dict[str, int],
) -> tuple[list[dict[str, NDArray[np.int64]]], Seen]:
    """The arrays of each process until the time is over, of two at least; `make_job` takes the process's number,
    the path of its result and the time left, `columns` what is in it, as `read_integers` takes it."""
    seen = Seen()
    results: list[dict[str, NDArray[np.int64]]] = []
    longest = 0.0
    total = round(seconds * TICKS_PER_S)
    ticks = 0
    with progress.task("measure", total) as advance:
        seen.heard = shown(progress, advance)
        while len(results) < 2 or seen.elapsed_s + longest <= seconds:
            began = seen.elapsed_s
            name = f"result-{len(results)}.npz"
            converse(workspace, make_job(len(results), workspace.path(name), seconds - began), seen.receive)
            workspace.fetch(name, folder / name)
            results.append(read_integers(folder / name, columns))
            longest = max(longest, seen.elapsed_s - began)
            reached = min(total, round(seen.elapsed_s * TICKS_PER_S))
            advance(reached - ticks)
            ticks = reached
        advance(total - ticks)
    return results, seen
