"""What every kind of device can do: move bytes and run a program. What is run there is not its business."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from edgekd.config.component import Component
from edgekd.errors import TargetError
from edgekd.progress import Progress


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, minus the signal if one killed it, and the end of its standard error.

    silent: it was stopped because it had reported nothing for too long.
    """

    code: int
    errors: str
    silent: bool = False


class Workspace(Protocol):
    """A private folder on the device, gone when the connection closes."""

    @property
    def python(self) -> str:
        """The interpreter to run programs with."""
        ...

    def put(self, path: Path, beside: Sequence[str] = ()) -> str:
        """Makes a local file available and returns its path on the device.

        `beside` names files by their paths from its folder; on the device they lie at the same paths from its folder
        there.
        """
        ...

    def write(self, name: str, content: bytes) -> str:
        """Writes a small file into the folder and returns its path on the device."""
        ...

    def path(self, name: str) -> str:
        """The path on the device of a file that a program is to write."""
        ...

    def fetch(self, name: str, to: Path) -> None:
        """Copies a file of the folder to this machine."""
        ...

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        """Runs a program, hands over each line of its standard output, and stops it after `patience_s` without one."""
        ...


class Device(Component):
    """The base of every target kind; `TargetProfile.device` holds one (the config layer cannot name this class).

    here: it is this machine. emulated: its answers are a real processor's, its times are not.
    """

    here: ClassVar[bool] = False
    emulated: ClassVar[bool] = False

    @property
    def place(self) -> str:
        """Where it is, in a few words for the user."""
        return self.use

    @property
    def counts(self) -> str:
        """What counts instructions there, for `count_into`; empty where nothing does."""
        return ""

    @property
    def uncounted(self) -> TargetError:
        """Why nothing counts instructions there, where nothing does."""
        return TargetError(f"{self.place}: instructions cannot be counted there")

    def count_into(self, marks: Path) -> AbstractContextManager[Workspace]:  # noqa: ARG002 - few devices count
        """A workspace whose programs write how many instructions they have executed, one number a line, into the
        local file `marks` at each call of getppid.

        Raises:
            TargetError: instructions cannot be counted there.
        """
        raise self.uncounted

    @property
    def machine(self) -> str:
        """What it shares with every other device that is the same machine; this one's is empty."""
        return ""

    @property
    def fetches(self) -> tuple[str, ...]:
        """What setting it up would fetch now, in lines for the user; nothing when it is ready."""
        return ()

    def setup(self, progress: Progress) -> None:  # noqa: ARG002 - most devices are ready as they are
        """Makes ready what can be made ready from here.

        Raises:
            TargetError: it cannot be reached, or lacks something.
        """
        with self.connect():
            pass

    @abstractmethod
    def connect(self) -> AbstractContextManager[Workspace]:
        """A workspace on the device.

        Raises:
            TargetError: it cannot be reached.
        """
