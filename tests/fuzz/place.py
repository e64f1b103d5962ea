"""Where a fuzzed case works, how long it may take, and how it ended.

An EdgekdError of one line is a good end. Anything else that is raised, a case that takes longer than its area allows, a
file outside the place that the case works in, and a damaged thing that passes as whole are findings.
"""

from __future__ import annotations

import faulthandler
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import strategies as st

from edgekd.errors import EdgekdError
from edgekd.reading import RefusedError
from edgekd.release.device.predict import UnusableError

LONG_AGO = 1e9
BESIDE = ["folder", "folder/deeper", "folder/deeper/x", "folder/x.json", "witness"]
ACCEPTED, REFUSED = "accepted", "refused"

Draw = Callable[[st.SearchStrategy[Any]], Any]


class HangError(BaseException):
    """A case that does not end; not an Exception, which something might catch."""


class WrongError(AssertionError):
    """A damaged thing passes, or something is left outside."""


@contextmanager
def ends_in(seconds: int) -> Iterator[None]:
    def hang(_number: int, _frame: FrameType | None) -> None:
        raise HangError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    faulthandler.dump_traceback_later(3 * seconds, exit=True)  # what hangs in a library hears no signal
    try:
        yield
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)


def removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Place:
    """Where a case works: `inside` is its own; beside it there is a folder `outside`, which stays as it is.

    Nothing that a case makes may lead to a real folder of the machine: what follows a link would be let loose there.
    """

    root: Path
    honest: Path

    @property
    def inside(self) -> Path:
        return self.root / "inside"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    @property
    def witness(self) -> Path:
        return self.outside / "witness"

    def clear(self) -> None:
        for path in self.root.iterdir():
            removed(path)
        self.inside.mkdir(parents=True)
        (self.outside / "folder" / "deeper").mkdir(parents=True)
        for path in (self.witness, self.outside / "folder" / "x.json", self.outside / "folder" / "deeper" / "x"):
            path.write_text("untouched")
        for path in (*self.outside.rglob("*"), self.outside):
            os.utime(path, (LONG_AGO, LONG_AGO))

    def check(self) -> None:
        left = sorted(path.relative_to(self.root).as_posix() for path in self.root.iterdir())
        beside = sorted(path.relative_to(self.outside).as_posix() for path in self.outside.rglob("*"))
        texts = {path.read_text() for path in self.outside.rglob("*") if path.is_file()}
        if left != ["inside", "outside"] or beside != BESIDE or texts != {"untouched"}:
            raise WrongError(f"outside of its place: {left}, {beside}")


@dataclass(frozen=True)
class Area:
    """`prepare` makes honest things once in a folder; `case` damages one and says what became of it.

    longest_s: of one case. tried: how many cases the tests try.
    """

    name: str
    case: Callable[[Draw, Place], object]
    prepare: Callable[[Path], object] = lambda _folder: None
    longest_s: int = 20
    tried: int = 60

    def try_case(self, draw: Draw, place: Place) -> str:
        """How one case ends.

        Raises:
            whatever is a finding.
        """
        place.clear()
        try:
            with ends_in(self.longest_s):
                self.case(draw, place)
            outcome = ACCEPTED
        except (EdgekdError, RefusedError, UnusableError) as error:
            if not str(error).strip():
                raise WrongError(f"{type(error).__name__} says nothing") from error
            outcome = REFUSED
        place.check()
        return outcome
