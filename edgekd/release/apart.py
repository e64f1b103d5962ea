"""A bundle verified in a process of its own: its model may never end, or end the process it runs in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edgekd.agent.leash import follow_host
from edgekd.child import run_module
from edgekd.release.device.predict import LONGEST_S
from edgekd.release.verify import verify


def verify_apart(folder: Path, target: str | None = None, seconds: float = LONGEST_S) -> list[str]:
    """What `release.verify.verify` finds, one line each; also that it does not end, or ends the process."""
    arguments = [str(folder.resolve()), *([] if target is None else [target])]
    try:
        done = run_module(__name__, arguments, seconds)
    except subprocess.TimeoutExpired:
        return [f"the golden answers are not given within {seconds:.0f} s"]
    if done.returncode < 0:
        return [f"the golden answers end the process with signal {-done.returncode}"]
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    follow_host()
    print("", json.dumps(verify(Path(sys.argv[1]), *sys.argv[2:])), sep="\n")
