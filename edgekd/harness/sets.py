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
from edgekd.progress import Progress
from edgekd.records.environment import KernelState, Machine, Settings

TICKS_PER_S = 10
WAIT_TOLD_S = 1.0


@dataclass
class Seen:
    """What the agent has reported beside the samples."""

    cold: list[Cold] = field(default_factory=list)
    states: list[tuple[KernelState, KernelState]] = field(default_factory=list)
    overheads: list[Overhead] = field(default_factory=list)
    machine: Machine | None = None
    settings: Settings | None = None
    waited_s: float = 0.0

    def note(self, event: Event) -> None:
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


class Listener:
    """Notes every event and shows that it goes on; knows how long it has taken so far."""

    def __init__(self, seen: Seen, progress: Progress) -> None:
        self.seen = seen
        self._show = shown(progress)
        self._begun_s = time.monotonic()

    def __call__(self, event: Event) -> None:
        self._show(event)
        self.seen.note(event)

    @property
    def elapsed_s(self) -> float:
        """Without what it has waited for other measurements on the device."""
        return time.monotonic() - self._begun_s - self.seen.waited_s


def shown(progress: Progress) -> Callable[[Event], None]:
    """What shows events to the user: why nothing moves while another measurement has its turn. Each event is a
    moment at which the work can be stopped."""
    said = False

    def hear(event: Event) -> None:
        nonlocal said
        progress.stop_point()
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
) -> tuple[list[dict[str, NDArray[np.int64]]], Seen, float]:
    """The arrays of each process until the time is over, of two at least; what the agent told; how long it took.

    `make_job` takes the process's number, the path of its result and the time left, `columns` what is in it, as
    `read_integers` takes it.
    """
    listener = Listener(Seen(), progress)
    results: list[dict[str, NDArray[np.int64]]] = []
    longest = 0.0
    total = round(seconds * TICKS_PER_S)
    ticks = 0
    with progress.task("measure", total) as advance:
        while len(results) < 2 or listener.elapsed_s + longest <= seconds:
            began = listener.elapsed_s
            name = f"result-{len(results)}.npz"
            converse(workspace, make_job(len(results), workspace.path(name), seconds - began), listener)
            workspace.fetch(name, folder / name)
            results.append(read_integers(folder / name, columns))
            longest = max(longest, listener.elapsed_s - began)
            reached = min(total, round(listener.elapsed_s * TICKS_PER_S))
            advance(reached - ticks)
            ticks = reached
        advance(total - ticks)
    return results, listener.seen, listener.elapsed_s
