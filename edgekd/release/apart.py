"""A bundle verified in a process of its own: its model may never end, or end the process it runs in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import edgekd
from edgekd.agent.leash import follow_host
from edgekd.release.device.predict import LONGEST_S
from edgekd.release.verify import verify


def verify_apart(folder: Path, target: str | None = None, seconds: float = LONGEST_S) -> list[str]:
    """What `release.verify.verify` finds, one line each; also that it does not end, or ends the process."""
    argv = [sys.executable, "-P", "-m", __name__, str(folder.resolve()), *([] if target is None else [target])]
    process = subprocess.Popen(
        argv,
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
    except subprocess.TimeoutExpired:
        return [f"the golden answers are not given within {seconds:.0f} s"]
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode < 0:
        return [f"the golden answers end the process with signal {-process.returncode}"]
    if process.returncode:
        raise RuntimeError(errors.decode(errors="replace"))
    found: list[str] = json.loads(said.splitlines()[-1])
    return found


def _with_edgekd(path: str) -> str:
    own = str(Path(edgekd.__file__).parents[1])
    return f"{own}{os.pathsep}{path}" if path else own


if __name__ == "__main__":
    follow_host()
    print("", json.dumps(verify(Path(sys.argv[1]), *sys.argv[2:])), sep="\n")
