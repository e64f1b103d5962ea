"""The console entry point: it answers Ctrl-C from its first line on, has standard output and the exit code for itself,
and ends when it has ended."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

PATIENCE_S = 10.0


def main() -> NoReturn:
    over = threading.Event()
    end = _claim_end(over)
    try:
        _claim_output()
        from edgekd.cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        command()
    except SystemExit as ending:
        over.set()
        threading.Thread(target=_end_anyway, args=(end, ending.code), daemon=True).start()
        raise


def _claim_end(over: threading.Event) -> Callable[[int], NoReturn]:
    """Leaves the exit code to edgekd: other people's `os._exit(0)` would be a verdict that nobody gave. It is a
    SystemExit from here on, and nothing at all once the command is `over`, for what is registered with `atexit`.
    Returns what really ends the process."""
    end, process = os._exit, os.getpid()

    def refused(code: int) -> None:
        if os.getpid() != process:  # a fork, which ends by it
            end(code)
        if not over.is_set():
            raise SystemExit(code)

    os._exit = refused  # type: ignore[assignment]
    return end


def _claim_output() -> None:
    """Leaves standard output to edgekd's own lines: what others write to descriptor 1 (a C library, a child process,
    own code below Python) goes to standard error from here on, sys.stdout to a descriptor that no child inherits.

    sys.__stdout__ stays on descriptor 1: whoever asks for that is not edgekd.
    """
    stream = sys.stdout
    try:
        if stream is not None and stream.fileno() != 1:
            return
    except OSError:  # it is no file
        return
    if not _is_open(2):  # else the next file that is opened takes its number, and gets what is meant for it
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 2)
        if nowhere > 2:
            os.close(nowhere)
    if stream is not None:
        own = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
        sys.stdout = open(  # noqa: SIM115 - for as long as the process lives
            own, "w", 1 if stream.line_buffering else -1, stream.encoding, stream.errors, closefd=False
        )
    os.dup2(2, 1)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _end_anyway(end: Callable[[int], NoReturn], code: int) -> None:
    """Although a thread that other people's code left goes on: the interpreter would wait for it for ever."""
    time.sleep(PATIENCE_S)
    end(code)


if __name__ == "__main__":
    main()
