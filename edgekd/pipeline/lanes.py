"""Work on several machines at once: one lane of stages a machine, each in a thread that waits for its machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from edgekd.progress import Advance, Progress

LOOK_S = 0.1


@dataclass(frozen=True)
class LaneProgress:
    """One lane's part of a common display; it ends the lane at its next stop point once `stop` is set."""

    common: Progress
    name: str
    stop: threading.Event

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        with self.common.task(f"{label} on {self.name}", total) as common:

            def advance(amount: int = 1, *, note: str | None = None) -> None:
                self.stop_point()
                common(amount, note=note)

            self.stop_point()
            yield advance

    def say(self, line: str) -> None:
        self.common.say(line)

    def stop_point(self) -> None:
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.common.stop_point()


def run_lanes(lanes: Sequence[Callable[[threading.Event], None]], progress: Progress) -> None:
    """Runs every lane to its end; each is given the event that tells it to stop.

    A lane that fails does not stop the others, so that what they finish is kept. Ctrl-C does: each stops as it would
    alone, and leaves nothing behind on its machine.

    Raises:
        the exception of the first lane, in their order, that failed.
        KeyboardInterrupt: Ctrl-C.
    """
    stop = threading.Event()
    ended = [threading.Event() for _ in lanes]  # Thread.join, once interrupted, takes a running thread for ended
    failures: list[BaseException | None] = [None] * len(lanes)

    def run(number: int) -> None:
        try:
            lanes[number](stop)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failures[number] = error
        finally:
            ended[number].set()

    for number in range(len(lanes)):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    try:
        _wait(ended)
    except KeyboardInterrupt:
        stop.set()
        progress.say("stopping on every target; a second Ctrl-C does not wait for them")
        _wait(ended)
        raise
    for failure in failures:
        if failure is not None:
            raise failure


def _wait(ended: Sequence[threading.Event]) -> None:
    for each in ended:
        while not each.wait(LOOK_S):
            pass
