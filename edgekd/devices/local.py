"""This machine: each program runs in a process of its own."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.devices.tail import Tail
from edgekd.errors import TargetError
from edgekd.temporary import temporary_folder

GRACE_S = 5.0  # for a program to end after it has closed its output
LOOK_S = 0.002
LONGEST_LINE = 1 << 24


class Local(Device):
    """This machine; each program runs in a process of its own."""

    here = True

    @property
    def place(self) -> str:
        return "this machine"

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        with ExitStack() as stack:
            try:
                folder = stack.enter_context(temporary_folder())
            except OSError as error:
                raise TargetError(
                    f"no temporary folder can be made: {error.strerror}", hint="set TMPDIR to a folder with space"
                ) from error
            yield LocalWorkspace(folder)


class LocalWorkspace:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def python(self) -> str:
        return sys.executable

    def put(self, path: Path, beside: Sequence[str] = ()) -> str:  # noqa: ARG002 - it stays where it is, and so do they
        return str(path.resolve())

    def write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def fetch(self, name: str, to: Path) -> None:
        path = self._folder / name
        if path.is_symlink() or not path.is_file():
            raise TargetError(f"what ran there has left no file {name}")
        shutil.move(path, to)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        process = self._start(argv)
        assert process.stdout is not None
        assert process.stderr is not None
        errors = Tail(process.stderr)
        grace_s = 0.0
        silent = True
        try:
            silent = not _read_lines(process.stdout, on_line, patience_s)
            grace_s = 0.0 if silent else GRACE_S
        finally:
            _stop(process, grace_s)
        return Ended(process.returncode, errors.text(), silent)

    def _start(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE,  # it closes when this process ends, however it does: see agent/leash.py
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches edgekd alone, which then stops the program
                cwd=self._folder,
            )
        except OSError as error:
            raise TargetError(f"cannot run {argv[0]}: {error.strerror}") from error


def _read_lines(stream: IO[bytes], on_line: Callable[[str], None], patience_s: float) -> bool:
    """Hands over lines until the stream ends (True) or no whole one has come for `patience_s` (False).

    Raises:
        TargetError: a line without end.
    """
    pending = b""
    deadline = time.monotonic() + patience_s
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return False
            piece = os.read(stream.fileno(), 1 << 16)
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace"))
            if lines:
                deadline = time.monotonic() + patience_s
            if len(pending) > LONGEST_LINE:
                raise TargetError("the program that runs there prints a line without end")
            if not piece:
                if pending:
                    on_line(pending.decode(errors="replace"))
                return True


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Waits for the end of a program, and kills it where that does not come; its children end with it."""
    deadline = time.monotonic() + grace_s
    while not _has_ended(process) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    with suppress(ProcessLookupError, PermissionError):  # not waited for yet: its number is still its own
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
