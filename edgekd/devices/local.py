"""This machine: each program runs in a process of its own."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from edgekd.devices.base import Device, Ended, Workspace
from edgekd.errors import TargetError

ERRORS_KEPT = 4000  # characters of standard error
GRACE_S = 5.0  # for a program to end after it has closed its output


class Local(Device):
    """This machine; each program runs in a process of its own."""

    here = True

    @property
    def place(self) -> str:
        return "this machine"

    @contextmanager
    def connect(self) -> Iterator[Workspace]:
        try:
            folder = tempfile.TemporaryDirectory(prefix="edgekd-")
        except OSError as error:
            raise TargetError(
                f"no temporary folder can be made: {error.strerror}", hint="set TMPDIR to a folder with space"
            ) from error
        with folder as name:
            yield LocalWorkspace(Path(name))


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
        shutil.move(self._folder / name, to)

    def run(self, argv: Sequence[str], on_line: Callable[[str], None], patience_s: float) -> Ended:
        with tempfile.TemporaryFile() as errors:
            process = self._start(argv, errors)
            assert process.stdout is not None
            grace_s = 0.0
            silent = True
            try:
                silent = not _read_lines(process.stdout, on_line, patience_s)
                grace_s = 0.0 if silent else GRACE_S
            finally:
                _stop(process, grace_s)
            return Ended(process.returncode, _tail(errors), silent)

    def _start(self, argv: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C reaches edgekd alone, which then stops the program
                cwd=self._folder,
            )
        except OSError as error:
            raise TargetError(f"cannot run {argv[0]}: {error.strerror}") from error


def _read_lines(stream: IO[bytes], on_line: Callable[[str], None], patience_s: float) -> bool:
    """Hands over lines until the stream ends (True) or nothing has come for `patience_s` (False)."""
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(patience_s):
                return False
            piece = os.read(stream.fileno(), 1 << 16)
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                on_line(line.decode(errors="replace"))
            if not piece:
                if pending:
                    on_line(pending.decode(errors="replace"))
                return True


def _stop(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Waits for the end of a program; what has not ended by then is killed, with its children."""
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stdout is not None
    process.stdout.close()


def _tail(stream: IO[bytes]) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - ERRORS_KEPT))
    return stream.read().decode(errors="replace").strip()
