"""The one boundary for other people's code: datasets, models, losses, teachers, entry points.

Whatever it raises or ends with becomes one error that names it; what it prints goes to stderr, and what it changes of
the process is put back.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from edgekd.errors import ConfigError, EdgekdError


@contextmanager
def others_code(name: str, file: Path | None, *, does: str = "failed", hint: str | None = None) -> Iterator[None]:
    """Inside, code of `file` runs (None: of a package), which the user's file calls `name`.

    Raises:
        ConfigError: it raised something, SystemExit and its own KeyboardInterrupt included; with the line that did.
        KeyboardInterrupt: the user pressed Ctrl-C, or a signal ended the process.
    """
    with _unchanged(), interruptions() as received:
        try:
            yield
        except (MemoryError, EdgekdError):  # of the machine; told already
            raise
        except KeyboardInterrupt as error:
            if received or type(error) is not KeyboardInterrupt:
                raise
            raise _told(name, file, error, does, hint) from error
        except BaseException as error:
            raise _told(name, file, error, does, hint) from error


def _told(name: str, file: Path | None, error: BaseException, does: str, hint: str | None) -> ConfigError:
    from edgekd.config.usercode import last_line_of

    where = None if file is None else last_line_of(file, error)
    try:
        reason = str(error).partition("\n")[0]
    except Exception as worse:  # noqa: BLE001 - even this is other people's code
        reason = f"(its text cannot be had: {type(worse).__name__})"
    what = f"{name} {does}: {type(error).__name__}{f': {reason}' if reason else ''}"
    return ConfigError(what, where=where, hint=hint)


class _Noting:
    """A handler of SIGINT that notes it in `received`."""

    def __init__(self) -> None:
        self.received: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        del frame
        self.received.append(number)
        raise KeyboardInterrupt


@contextmanager
def interruptions() -> Iterator[list[int]]:
    """Which SIGINTs came meanwhile: only by them does the user's Ctrl-C differ from a `raise KeyboardInterrupt`. One
    inside another notes in the same list."""
    before = signal.getsignal(signal.SIGINT)
    if isinstance(before, _Noting):
        yield before.received
        return
    noting = _Noting()
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield noting.received
        return
    signal.signal(signal.SIGINT, noting)
    try:
        yield noting.received
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _unchanged() -> Iterator[None]:
    """Puts the working directory, environment, module path, standard streams, warning filters and torch's number of
    threads back."""
    folder, environment, path = working_directory(), dict(os.environ), list(sys.path)
    filters, shown = list(warnings.filters), warnings.showwarning
    streams = sys.stdin, sys.stdout, sys.stderr
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        # not by catch_warnings: it forgets what was told already, and a loss is called in every step
        if list(warnings.filters) != filters:
            warnings.filters[:] = filters  # type: ignore[index]  # a list, whatever typeshed says
        warnings.showwarning = shown
        sys.stdin, sys.stdout, sys.stderr = streams
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        sys.path[:] = path
        if folder is not None and folder != working_directory():
            os.chdir(folder)
        if torch and threads and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def working_directory() -> str | None:
    """Its name, or None where it is gone."""
    with suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - the text itself is put back
    return None
