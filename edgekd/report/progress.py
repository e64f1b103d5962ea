"""Progress for people: moving bars on a terminal, plain lines in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from edgekd.progress import Advance, Progress

LOG_EVERY_S = 10.0


class TerminalProgress:
    """A bar a task, with its latest note beside it."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bars | None = None
        self.tasks = 0
        self.lock = threading.Lock()

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        bars = self._open()
        identity = bars.add_task(label, total=total, note="")

        def advance(amount: int = 1, *, note: str | None = None) -> None:
            if note is None:
                bars.update(identity, advance=amount)
            else:
                bars.update(identity, advance=amount, note=note)

        try:
            yield advance
        finally:
            bars.remove_task(identity)
            self._close(bars)

    def _open(self) -> Bars:
        """The bars of all tasks that are under way, on the screen from the first to the last."""
        with self.lock:
            self.tasks += 1
            if self.bars is None:
                self.bars = Bars(
                    TextColumn("  {task.description}"),
                    BarColumn(bar_width=28),
                    MofNCompleteColumn(),
                    TimeElapsedColumn(),
                    TimeRemainingColumn(),
                    TextColumn("[dim]{task.fields[note]}"),
                    console=self.console,
                    transient=True,
                )
                self.bars.start()
            return self.bars

    def _close(self, bars: Bars) -> None:
        with self.lock:
            self.tasks -= 1
            if self.tasks == 0:
                bars.stop()
                self.bars = None

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True, style=_style(line))

    def stop_point(self) -> None:
        pass


class LogProgress:
    """Lines: each new note, and at least one every ten seconds of a long task."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        done, last, told = 0, "", time.monotonic()

        def advance(amount: int = 1, *, note: str | None = None) -> None:
            nonlocal done, last, told
            done += amount
            new_note = note is not None and note != last
            if new_note or time.monotonic() - told > LOG_EVERY_S:
                last, told = note or last, time.monotonic()
                self.say(f"  {label} {done}/{total}{f' · {last}' if last else ''}")

        yield advance

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop_point(self) -> None:
        pass


def progress_for(console: Console) -> Progress:
    return TerminalProgress(console) if console.is_terminal else LogProgress(console)


def _style(line: str) -> str | None:
    return "yellow" if line.startswith("warning:") else None
