"""What runs on a hostile board in place of the agent: python3 misbehave.py CASE JOB.json; standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FLOOD_BYTES = 64 << 20  # of errors; a board that never ended would be stopped for its silence


def results_of(job: dict[str, Any]) -> list[Path]:
    """The files that a job wants written."""
    named = [job.get("result"), *(each.get("result") for each in [*job.get("models", []), *job.get("saved", [])])]
    return [Path(name) for name in named if name]


def say(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def without_end(data: bytes, handle: int = 1, pause_s: float = 0.0, most: int = sys.maxsize) -> None:
    while most > 0:
        most -= os.write(handle, data)
        time.sleep(pause_s)


def npy(shape: str, content: bytes = b"") -> bytes:
    """A .npy file whose header says that shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


def leave(job: dict[str, Any], how: str) -> None:
    """Leaves something in the place of each result and says that all is done."""
    for path in results_of(job):
        if how == "folder":
            path.mkdir()
        elif how == "pipe":
            os.mkfifo(path)
        elif how == "link":
            path.symlink_to("/etc/hostname")
        elif how == "endless file":
            path.symlink_to("/dev/zero")
        elif how == "huge file":
            with path.open("wb") as stream:
                stream.truncate(1 << 40)
        elif how == "lie about the shape":
            path.write_bytes(npy("(1000000000, 1000000000)", b"1234"))
        elif how == "no numbers":
            path.write_bytes(npy("(0,)"))
        elif how == "no file":
            continue
    say("done")


STREAMS = {
    "line without end": (b"x" * 65536, 0.0),
    "lines without end": (b'{"event": "step", "what": "loading", "model": "m"}\n' * 1000, 0.0),
    "noise without end": (b"\xff\x00 what? \x1b[2J\n" * 4000, 0.0),
    "drips": (b"{", 0.05),
}


def misbehave(case: str, job: dict[str, Any]) -> int:
    """The exit code, where there is one."""
    if case in STREAMS:
        data, pause_s = STREAMS[case]
        without_end(data, pause_s=pause_s)
    elif case == "errors without end":
        without_end(b"e" * 65536, handle=2, most=FLOOD_BYTES)
        return 1
    elif case == "silence":
        time.sleep(1e6)
    elif case == "exits":
        return 0
    elif case == "dies":
        say("step", what="running", model="m")
        os.kill(os.getpid(), signal.SIGSEGV)
    elif case == "nested":
        print("[" * 200_000 + "]" * 200_000)
        print('{"event":' * 100_000)
    elif case == "not finite":
        print('{"event": "waited", "seconds": NaN}\n{"event": "overhead", "inside_ns": 1e999, "between_ns": -Infinity}')
        say("done")
    elif case == "long refusal":
        say("refusal", cause="load", what="\x1b[2J\x07\n" * 30_000)
        return 3
    elif case == "leaves a child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)"])
        say("step", what="running", model=f"m{child.pid}")
        return 1
    else:
        leave(job, case)
    return 0


if __name__ == "__main__":
    sys.exit(misbehave(sys.argv[1], json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))))
