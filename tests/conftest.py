"""What several tests need."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from edgekd.progress import Silent

# a shared machine may make any one example fifty times slower, and so does the first call of an operation of torch
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


class Told(Silent):
    """A `Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """A shell's background job ignores SIGINT, what runs under nohup SIGHUP, and so would every process that a test
    starts and interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture(scope="session")
def edgekd_data() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    folder = os.environ.get("EDGEKD_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EDGEKD_DATA names no folder with data sets")
    return Path(folder).resolve()
