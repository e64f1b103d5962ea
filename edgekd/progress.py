"""How long work tells how far it is; the terminal's side of it is in `report/progress.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called inside a task after each piece of work; a `Progress.stop_point` as well."""

    def __call__(self, amount: int = 1, *, note: str | None = None) -> None: ...


class Progress(Protocol):
    def task(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """A piece of long work of `total` steps; the context yields what reports each step."""
        ...

    def say(self, line: str) -> None:
        """One line for the user, above any running bar."""
        ...

    def stop_point(self) -> None:
        """Says that the work may end here.

        Raises:
            KeyboardInterrupt: it is time to stop.
        """
        ...


class Silent:
    """A `Progress` that shows nothing."""

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:  # noqa: ARG002 - the protocol's signature
        def advance(amount: int = 1, *, note: str | None = None) -> None:
            pass

        yield advance

    def say(self, line: str) -> None:
        pass

    def stop_point(self) -> None:
        pass
