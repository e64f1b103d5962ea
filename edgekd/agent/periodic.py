"""The job that times inferences at the pace of a sensor: one every so often, each with a deadline."""

from __future__ import annotations

import gc
import itertools
import time
from typing import Any

import numpy as np

from .measure import load_all, sets
from .report import Reporter
from .timing import save_result

DROPPED = -1


def periodic(job: dict[str, Any], report: Reporter) -> None:
    """In each set every model is loaded anew, alone, and gets `frames` frames.

    ticks: set, model, from the frame's arrival to the start of its inference, from its arrival to the output, in
    ns; both -1 for a frame that was dropped because a newer one had come before the model was free.
    """
    ticks: list[Any] = []
    loads: list[tuple[int, int, int, int]] = []
    for number, order in sets(job, report, time.perf_counter_ns()):
        for position in order:
            subjects, taken = load_all(job["models"], [position], job["runtime"], report)
            loads.append((number, position, *taken[position]))
            function, arguments = subjects[position].call()
            times = pace(function, arguments, int(job["period_s"] * 1e9), job["frames"])
            ticks.append(np.column_stack([np.full((len(times), 2), (number, position)), times]))
            del subjects, function, arguments
            gc.collect()
    save_result(job["result"], {"ticks": np.concatenate(ticks), "loads": np.array(loads, np.int64)})


def pace(function: Any, arguments: list[Any], period_ns: int, frames: int) -> Any:
    """int64 (frames, 2): waiting and responding, in ns from each frame's arrival.

    One frame waits while the model is busy; when the next arrives, the older one is dropped, as a camera's
    buffer does. A sleep ends late by what the kernel's timer takes: that is part of a real response.
    """
    clock = time.perf_counter_ns
    times = np.full((frames, 2), DROPPED, np.int64)
    cycle = itertools.cycle(arguments)
    origin = clock() + period_ns
    for frame in range(frames):
        arrival = origin + frame * period_ns
        wait = arrival - clock()
        if wait > 0:
            time.sleep(wait / 1e9)
        elif -wait >= period_ns:
            continue
        argument = next(cycle)
        begin = clock()
        function(argument)
        times[frame] = begin - arrival, clock() - arrival
    return times
