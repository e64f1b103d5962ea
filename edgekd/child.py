"""A module of edgekd's own run in a process of its own: what it runs may never end, or end the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import edgekd


def run_module(module: str, arguments: Sequence[str], seconds: float) -> subprocess.CompletedProcess[bytes]:
    """What it prints, and how it ends; nothing of it is left afterwards.

    Raises:
        subprocess.TimeoutExpired: it does not end in so many seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,  # held open, and nothing written: see agent/leash.py
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": _with_edgekd(os.environ.get("PYTHONPATH", ""))},
    )
    try:
        assert process.stdin is not None
        held, process.stdin = process.stdin, None  # `communicate` would close it
        with held:
            said, errors = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, said, errors)


def _with_edgekd(path: str) -> str:
    own = str(Path(edgekd.__file__).parents[1])
    return f"{own}{os.pathsep}{path}" if path else own
