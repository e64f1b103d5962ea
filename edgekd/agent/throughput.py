"""The job that counts inferences of several clients of one session."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from typing import Any

import numpy as np

from .measure import load_all, sets
from .report import Refusal, Reporter
from .subject import Subject
from .timing import save_result


def throughput(job: dict[str, Any], report: Reporter) -> None:
    """In each set every model is loaded anew, alone, and `clients` threads call it for `load_s`.

    counts: set, model, inferences finished, the time they took in ns.
    """
    counts: list[tuple[int, int, int, int]] = []
    for number, order in sets(job, report, time.perf_counter_ns()):
        for position in order:
            subjects, _ = load_all(job["models"], [position], job["runtime"], report)
            finished, taken_ns = storm(subjects[position], job["clients"], int(job["load_s"] * 1e9))
            counts.append((number, position, finished, taken_ns))
            del subjects
            gc.collect()
    save_result(job["result"], {"counts": np.array(counts, np.int64)})


def storm(subject: Subject, clients: int, least_ns: int) -> tuple[int, int]:
    """How many inferences all clients together finished, and the time from their common start to the last end."""
    workers = [subject.client() for _ in range(clients)]
    finished = [0] * clients
    failures: list[Exception] = []
    ready = threading.Barrier(clients + 1)

    def work(number: int) -> None:
        function, arguments = workers[number]
        cycle = itertools.cycle(arguments)
        ready.wait()
        end = time.perf_counter_ns() + least_ns
        count = 0
        try:
            while time.perf_counter_ns() < end:
                function(next(cycle))
                count += 1
        except Exception as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)
        finished[number] = count

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin = time.perf_counter_ns()
    for thread in threads:
        thread.join()
    taken = time.perf_counter_ns() - begin
    if failures:
        raise Refusal("run", " ".join(str(failures[0]).split()))
    return sum(finished), taken
