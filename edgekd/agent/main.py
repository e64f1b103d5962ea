"""From a job to its kind of work."""

from __future__ import annotations

import time
from typing import Any

from .count import count
from .machine import kernel_state, machine_facts
from .measure import cold, measure
from .optimise import optimise
from .periodic import periodic
from .predict import predict
from .report import Refusal, Reporter
from .session import apply_to_process
from .throughput import throughput

PROTOCOL = 2
GAP_NS = 20_000
GAPS_KEPT = 10_000


def describe(job: dict[str, Any], report: Reporter) -> None:
    """The state of the machine over a while in which the agent only looks at the clock: every gap between two
    looks is time that something else took."""
    before = kernel_state()
    clock = time.perf_counter_ns
    gaps: list[int] = []
    last = clock()
    end = last + int(job["seconds"] * 1e9)
    while last < end:
        now = clock()
        if now - last > GAP_NS and len(gaps) < GAPS_KEPT:
            gaps.append(now - last)
        last = now
    report("state", before=before, after=kernel_state(), gaps_ns=gaps)


TASKS = {
    "measure": measure,
    "cold": cold,
    "periodic": periodic,
    "throughput": throughput,
    "predict": predict,
    "count": count,
    "optimise": optimise,
    "describe": describe,
}


def main(job: dict[str, Any], import_ns: int) -> int:
    """The exit code: 0 after a finished job, 3 after a refusal."""
    report = Reporter()
    if job["protocol"] != PROTOCOL:
        report("refusal", cause="protocol", what=f"this agent speaks protocol {PROTOCOL}, not {job['protocol']}")
        return 3
    try:
        apply_to_process(job["runtime"])
        TASKS[job["task"]]({**job, "import_ns": import_ns}, report)
        report("machine", **machine_facts())
    except Refusal as refusal:
        report("refusal", cause=refusal.cause, what=refusal.what)
        return 3
    except MemoryError:
        report("refusal", cause="memory", what="there is not enough memory")
        return 3
    report("done")
    return 0
