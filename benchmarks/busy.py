"""Another program that keeps one core busy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy_core(wanted: bool) -> Iterator[None]:
    """While it lasts, a second process computes without end (if `wanted`)."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: sum(range(100000))"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
