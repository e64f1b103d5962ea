"""Every error that edgekd raises on purpose, with a hint for the user and the exit code it ends in.

EdgekdError
├── UsageError    2  a wrong command line
├── ConfigError   2  a wrong pipeline or target file, or an input that it names
├── StageError    4  a stage could not do its work
├── StoreError    4  the store could not be read or written
└── TargetError   5  a target could not be reached

Anything else that escapes is a bug: exit code 70, its traceback in a file (`cli/edge.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgekd.visible import visible


class EdgekdError(Exception):
    """A failure told in one line: `where: what`, with an optional `hint`."""

    exit_code = 4

    def __init__(self, what: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        """What may come from outside in it (names, a device's words) is made visible and has an end."""
        return visible(f"{self.where}: {self.what}" if self.where else self.what)


class UsageError(EdgekdError):
    exit_code = 2


class ConfigError(EdgekdError):
    """Wrong input by the user; `others` holds further errors found in the same file."""

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        hint: str | None = None,
        where: str | None = None,
        others: tuple[ConfigError, ...] = (),
    ) -> None:
        super().__init__(what, hint=hint, where=where)
        self.others = others


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Gives an error in the user's input that does not say where it is this place, such as `teacher.checkpoint`."""
    try:
        yield
    except ConfigError as error:
        error.where = error.where or where
        raise


class StageError(EdgekdError):
    exit_code = 4


class StoreError(EdgekdError):
    exit_code = 4


class TargetError(EdgekdError):
    exit_code = 5


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP: an interruption like Ctrl-C, with an exit code of its own."""


def words_of(error: BaseException) -> str:
    """The first line of what an error says; to say it may be other people's code, which fails or ends the process."""
    try:
        return str(error).partition("\n")[0]
    except BaseException as worse:  # noqa: BLE001
        return f"(its text cannot be had: {type(worse).__name__})"
