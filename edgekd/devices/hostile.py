"""A board that lies, floods, hangs or dies: to see that a gate says one line and ends, whatever answers it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.local import Local

Case = Literal[
    "line without end", "lines without end", "noise without end", "drips", "errors without end", "silence", "exits",
    "dies", "nested", "not finite", "long refusal", "leaves a child", "folder", "pipe", "link", "endless file",
    "huge file", "lie about the shape", "no numbers", "no file",
]  # fmt: skip
CASES: tuple[Case, ...] = get_args(Case)
PROGRAM = Path(__file__).with_name("misbehave.py")


class Hostile(Device):
    """A board that misbehaves, played by this machine: to try what a gate makes of it."""

    does: Case = Field(description="what it does in place of the work it is given")
    after: int = Field(0, ge=0, le=10**6, description="programs that run as they should before")
    patience_s: float = Field(
        10.0, gt=0, le=3600, description="silence after which it is given up, in place of edgekd's 120 s"
    )

    @property
    def place(self) -> str:
        return f"a hostile board ({self.does})"

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        with Local(use="local").connect() as workspace:
            yield HostileWorkspace(workspace, self.does, self.after, self.patience_s)


class HostileWorkspace:
    """Another device's workspace, in which other programs run than those that were sent."""

    def __init__(self, inner: Workspace, does: Case, after: int, patience_s: float) -> None:
        self._inner = inner
        self._does = does
        self._left = after
        self._patience_s = patience_s

    @property
    def python(self) -> str:
        return self._inner.python

    def put(self, path: Path, beside: Sequence[str] = ()) -> str:
        return self._inner.put(path, beside)

    def write(self, name: str, content: bytes) -> str:
        return self._inner.write(name, content)

    def path(self, name: str) -> str:
        return self._inner.path(name)

    def fetch(self, name: str, to: Path) -> None:
        self._inner.fetch(name, to)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        self._left -= 1
        if self._left < 0:
            program = self._inner.write(PROGRAM.name, PROGRAM.read_bytes())
            argv = [self.python, program, self._does, argv[-1]]
        return self._inner.run(argv, on_line, min(patience_s, self._patience_s))
