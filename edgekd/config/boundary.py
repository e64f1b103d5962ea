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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from edgekd.errors import ConfigError, EdgekdError, Terminated, words_of


@contextmanager
def others_code(name: str, file: Path | None, *, does: str = "failed", hint: str | None = None) -> Iterator[None]:
    """Inside, code of `file` runs (None: of a package), which the user's file calls `name`.

    Raises:
        ConfigError: it raised something, SystemExit and its own KeyboardInterrupt included; with the line that did.
        KeyboardInterrupt: the user pressed Ctrl-C, or a signal ended the process.
    """
    with unchanged(), interruptions() as received:
        try:
            yield
        except (MemoryError, EdgekdError):  # of the machine; told already
            raise
        except KeyboardInterrupt as error:
            if received or isinstance(error, Terminated):
                raise
            raise _told(name, file, error, does, hint) from error
        except BaseException as error:
            raise _told(name, file, error, does, hint) from error


def _told(name: str, file: Path | None, error: BaseException, does: str, hint: str | None) -> ConfigError:
    from edgekd.config.usercode import last_line_of

    where = None if file is None else last_line_of(file, error)
    reason = words_of(error)
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
def unchanged() -> Iterator[None]:
    """Puts the working directory, environment, module path and finders, standard streams, warning filters, limit of
    recursion, handlers of signals, and the settings of NumPy and torch back."""
    folder, environment, path = working_directory(), dict(os.environ), list(sys.path)
    filters, shown = list(warnings.filters), warnings.showwarning
    streams = sys.stdin, sys.stdout, sys.stderr
    finders = list(sys.meta_path)
    limit, handlers, libraries = sys.getrecursionlimit(), _handlers(), _settings()
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
        sys.path = path
        # those that came stay: a package that it imports may have some
        sys.meta_path[:0] = [each for each in finders if each not in sys.meta_path]
        if folder is not None and folder != working_directory():
            os.chdir(folder)
        if sys.getrecursionlimit() != limit:
            sys.setrecursionlimit(limit)
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        for (before, put_back), (now, _) in zip(libraries, _settings(), strict=False):
            if now != before:
                put_back(before)


@contextmanager
def modules_kept() -> Iterator[None]:
    """Puts back the modules that were imported before and that other code took away or replaced. Looking at all of them
    is for an import, not for every step."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        sys.modules.update(before)


def _handlers() -> dict[int, Any]:
    """Of the signals that end a command; only the main thread can set them."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    found = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
    return {number: handler for number, handler in found.items() if handler is not None}  # None: not set by Python


def _settings() -> list[tuple[Any, Callable[[Any], object]]]:
    """What NumPy and torch, where they are imported, are set to for the whole process, each with what sets it."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    found: list[tuple[Any, Callable[[Any], object]]] = []
    if numpy and hasattr(numpy, "seterr"):  # hasattr: another thread may be importing it now
        found = [
            (numpy.geterr(), lambda before: numpy.seterr(**before)),
            (numpy.get_printoptions(), lambda before: numpy.set_printoptions(**before)),
        ]
    if torch and hasattr(torch, "get_default_device"):
        found += [
            (torch.get_num_threads(), torch.set_num_threads),
            (torch.is_grad_enabled(), torch.set_grad_enabled),
            (torch.get_default_dtype(), torch.set_default_dtype),
            (
                torch.get_default_device(),
                lambda before: torch.set_default_device(None if before.type == "cpu" else before),
            ),
            (torch.are_deterministic_algorithms_enabled(), torch.use_deterministic_algorithms),
        ]
    return found


def working_directory() -> str | None:
    """Its name, or None where it is gone."""
    with suppress(OSError):
        return os.getcwd()  # noqa: PTH109 - the text itself is put back
    return None
