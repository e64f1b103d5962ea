"""The edge of the command: signals, outputs that take no text, and errors that nobody foresaw.

Every way to end has an exit code that the README lists, and nothing but a bug has a traceback: it goes to a file.
"""

from __future__ import annotations

import codecs
import io
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from edgekd.errors import ConfigError, EdgekdError, Terminated, UsageError, words_of
from edgekd.extras import install_command
from edgekd.visible import visible

BUG = 70  # sysexits' EX_SOFTWARE
OUTPUT_LOST = 4
INTERRUPTED = 130
ASCII = {"µ": "u", "×": "x", "±": "+-", "–": "-", "·": "*", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "²": "^2"}


def run_command(command: Callable[[], object]) -> NoReturn:
    """Runs it and ends the process; `command` may end in SystemExit with a code, as typer's applications do."""
    outlets = [_outlet(name) for name in ("stdout", "stderr")]
    received: list[int] = []
    with _signals(received):
        code = _code_of(command)
    if code == INTERRUPTED and received:
        code = 128 + received[0]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    failure = None if outlets[0] is None else outlets[0].failure
    if failure is not None and not isinstance(failure, BrokenPipeError):  # who closed a pipe has read enough
        print(f"the output is incomplete: {failure.strerror}", file=sys.stderr)
        code = OUTPUT_LOST
    sys.stderr.flush()
    sys.exit(code)


def _code_of(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except EdgekdError as error:
        for each in (error, *(error.others if isinstance(error, ConfigError) else ())):
            _tell(str(each), each.hint)
        return error.exit_code
    except BaseException as error:  # noqa: BLE001 - this is where all that nobody foresaw ends
        return _unforeseen(error)
    return 0


def _unforeseen(error: BaseException) -> int:
    """A missing library of an extra as wrong usage, the machine's own troubles as the failures of a stage; all else is
    a bug."""
    from edgekd.config.boundary import working_directory
    from edgekd.pipeline.store import disk_error, is_disk_trouble

    if isinstance(error, ImportError) and (command := install_command(error.name or "")):
        _tell(f"this needs {error.name}, which is not installed", command)
        return UsageError.exit_code
    if isinstance(error, OSError) and is_disk_trouble(error):
        trouble = disk_error(error, Path(tempfile.gettempdir()))
        _tell(str(trouble), trouble.hint)
        return trouble.exit_code
    if isinstance(error, FileNotFoundError) and working_directory() is None:
        _tell("the working directory is gone", "change to one that is there")
        return UsageError.exit_code
    if isinstance(error, MemoryError):
        _tell("out of memory", "close other programs, or give it more")
        return EdgekdError.exit_code
    reason = visible(words_of(error), 300)
    _tell(f"a bug in edgekd: {type(error).__name__}: {reason}", _report(error))
    return BUG


def _report(error: BaseException) -> str:
    """Where the traceback is."""
    text = "".join(traceback.format_exception(error))
    try:
        handle, name = tempfile.mkstemp(prefix="edgekd-bug-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(f"{sys.argv!r}\n\n{text}")
    except OSError:
        return f"please report it with this:\n{text}"
    return f"please report it with {name}, which says where"


def _tell(line: str, hint: str | None) -> None:
    print(line, file=sys.stderr)
    if hint:
        print(f"hint: {visible(hint)}", file=sys.stderr)


@contextmanager
def _signals(received: list[int]) -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP interrupt the work as Ctrl-C does, so that it cleans up; what ignores one (nohup) goes
    on to. The first is noted in `received`, more of them change nothing."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        for each in changed:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated

    names = ("SIGTERM", "SIGHUP")
    every = [getattr(signal, name) for name in names if hasattr(signal, name)]
    changed = [each for each in every if signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_IGN if received else signal.SIG_DFL)


class _Outlet(io.FileIO):
    """A file descriptor that takes everything: what fails is noted, and what comes after it dropped."""

    failure: OSError | None = None

    def write(self, content: object) -> int:
        length = len(memoryview(content).cast("B"))  # type: ignore[arg-type]  # whatever BufferedWriter gives
        if self.failure is None:
            try:
                return super().write(content)  # type: ignore[arg-type]
            except OSError as error:
                self.failure = error
        return length


def _outlet(name: str) -> _Outlet | None:
    """Puts the stream of this name (`stdout`) behind an outlet, in its encoding; letters that it lacks degrade. None
    for one that is no file, as in a notebook."""
    stream: TextIO | None = getattr(sys, name)
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()
    except OSError:
        return None
    if stream is not None:
        with suppress(OSError):
            stream.flush()
    outlet = _Outlet(descriptor, "w", closefd=False)
    encoding = "utf-8" if stream is None else stream.encoding
    codecs.register_error("edgekd", _degraded)
    lines = name == "stderr" or outlet.isatty()
    text = io.TextIOWrapper(io.BufferedWriter(outlet), encoding, "edgekd", line_buffering=lines)
    setattr(sys, name, text)
    return outlet


def _degraded(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(ASCII.get(each, "?") for each in letters), error.end
