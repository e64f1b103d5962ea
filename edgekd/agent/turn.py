"""One measurement at a time on a machine, whoever started it and from wherever.

This runs before the clock of a cold start does: it imports nothing that numpy or onnxruntime would have to.
"""

import json
import os
import sys
import time

LOCK = "/tmp/edgekd-measuring.lock"  # noqa: S108 - one file for every user of the machine; it holds nothing
TIMED = ("measure", "cold", "periodic", "throughput")
"""The tasks whose times count."""
LOOK_S = 0.05
TELL_S = 2.0
LONGEST_S = 900.0
"""What a turn may take: longer than any process of a measurement that ends by itself, unless it is hours long."""


def read_job(path: str) -> "dict[str, object]":
    with open(path, encoding="utf-8") as stream:  # noqa: PTH123 - pathlib is not loaded yet
        job: dict[str, object] = json.load(stream)
    return job


def take_turn(job: "dict[str, object]") -> "int | None":
    """Waits until no other agent measures on this machine, and tells how long that took as events on standard
    output; what it returns must live as long as the turn. The kernel frees the turn of one that dies.

    Between two processes of a measurement another one has its turn: both go on, and never side by side.
    """
    lock = lock_file(LOCK) if job["task"] in TIMED else None
    if lock is None:
        return None
    try:
        import fcntl
    except ImportError:
        return None
    begun = told = time.monotonic()
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:  # this file system knows no locks
            return None
        else:
            free = True
        now = time.monotonic()
        if now - told > (LOOK_S / 2 if free else TELL_S):
            _tell(event="waited", seconds=now - told)
            told = now
        if free:
            return lock
        if now - begun > LONGEST_S:
            what = f"another measurement has held this machine for {LONGEST_S / 60:.0f} minutes (fuser {LOCK} names it)"
            _tell(event="refusal", cause="turn", what=what)
            sys.exit(3)
        time.sleep(LOOK_S)


def lock_file(path: str) -> "int | None":
    """The opened file; None where it cannot be had, and measuring goes on without turns."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _ in range(2):  # between the two attempts somebody else may make it
        # one that is there is opened as it is: another user's cannot be made anew in a shared folder
        try:
            return os.open(path, flags)
        except OSError:
            pass
        try:
            lock = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError:
            continue
        os.fchmod(lock, 0o644)  # whatever the umask says: other users must be able to open it
        return lock
    return None


def _tell(**event: object) -> None:
    print(json.dumps(event), flush=True)
