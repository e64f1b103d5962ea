"""What several tests need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekd.progress import Silent


class Told(Silent):
    """A `Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


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
