"""Commands that get a signal at some moment: what is left of them, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "EDGEKD_KILLED_BENCHMARK"
ENDED = (0, 3)
"""The exit codes of a command that was not interrupted; 3: a time that this machine leaves undecided."""
PATIENCE_S = 10.0


def started(folder: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "EDGEKD_STORE": str(folder / "store"), MARK: str(folder)}
    return subprocess.Popen(
        [sys.executable, "-m", "edgekd", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("ab"),
    )


def left_running(folder: Path) -> list[str]:
    """The command lines of processes that came from one that was started in the folder."""
    wanted, found = f"{MARK}={folder}".encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0") and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
        except OSError:  # it has ended, or is another user's
            continue
    return [each for each in found if each]  # without those that only wait to be noticed


def still_running(folder: Path) -> list[str]:
    end = time.monotonic() + PATIENCE_S
    while (left := left_running(folder)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def interrupted(process: subprocess.Popen[bytes], how: signal.Signals, limit_s: float) -> str:
    """What is wrong with how it ends after the signal, "" where nothing is. It may have been about to end anyway."""
    process.send_signal(how)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return f"still there {limit_s:.0f} s later"
    # before the first line of edgekd runs, or after its last, a signal does what it does to every process
    expected = {-how} if how == signal.SIGKILL else {128 + how, -how}
    return "" if code in expected or code in ENDED else f"exit code {code}"
