"""Jobs that load models anew and time them: back to back, and the cold start of a process."""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from .machine import kernel_state, memory_bytes
from .report import Reporter
from .session import load, observe_settings
from .subject import Subject, require_finite
from .timing import Measurement, loop_overhead_ns


def measure(job: dict[str, Any], report: Reporter) -> None:
    """Sets of fresh loads: in each, every model is loaded anew and blocks of all are interleaved at random.

    The first load of all is the cold start of this process, reported apart.
    """
    models = job["models"]
    cold_start(models[job["sets"][0][0]], job, report)
    if job["observe"]:
        report("settings", **observe_settings(job["runtime"], models[0]))
    measurement = Measurement(job["capacity"], len(models))
    report("overhead", **loop_overhead_ns(measurement.buffer))
    generator = np.random.default_rng(job["seed"])
    begin = time.perf_counter_ns()
    for number, order in sets(job, report, begin):
        groups = [order] if job["together"] else [[position] for position in order]
        for group in groups:
            subjects, taken = load_all(models, group, job["runtime"], report)
            measurement.loads += [(number, position, *taken[position]) for position in group]
            run_turns(measurement, subjects, number, job, generator)
            del subjects
            gc.collect()
    measurement.save(job["result"])


def sets(job: dict[str, Any], report: Reporter, begin_ns: int) -> Iterator[tuple[int, list[int]]]:
    """The sets that the process's time allows, one at least; reports the machine's state around each."""
    gc.disable()  # no collection inside a timed stretch
    for number, order in enumerate(job["sets"]):
        if number and time.perf_counter_ns() - begin_ns > job["process_s"] * 1e9:
            break
        before = kernel_state()
        yield number, order
        report("set", number=number, before=before, after=kernel_state())
    gc.enable()


def cold(job: dict[str, Any], report: Reporter) -> None:
    """The cold start of one model, alone in its process."""
    cold_start(job["models"][0], job, report)


def cold_start(model: dict[str, Any], job: dict[str, Any], report: Reporter) -> None:
    """Reports the first load of this process: the time from the runtime's import to the first output (what the
    agent itself takes is left out), and the memory that took."""
    report("step", what="starting", model=model["name"])
    before = memory_bytes("VmHWM")
    begin = time.perf_counter_ns()
    session = load(model, job["runtime"])
    load_ns = time.perf_counter_ns() - begin
    subject = Subject(session, model)
    first_ns, outputs = subject.run_once()
    require_finite(model["name"], session, outputs)
    report(
        "cold",
        model=model["name"],
        import_ns=job["import_ns"],
        load_ns=load_ns,
        first_ns=first_ns,
        peak_rss_bytes=memory_bytes("VmHWM"),
        runtime_rss_bytes=before,
    )


def load_all(
    models: list[dict[str, Any]], order: list[int], runtime: dict[str, Any], report: Reporter
) -> tuple[dict[int, Subject], dict[int, tuple[int, int]]]:
    """Fresh sessions in the order given; per model the time to load and the first inference, in ns."""
    subjects: dict[int, Subject] = {}
    taken: dict[int, tuple[int, int]] = {}
    for position in order:
        model = models[position]
        report("step", what="loading", model=model["name"])
        begin = time.perf_counter_ns()
        session = load(model, runtime)
        load_ns = time.perf_counter_ns() - begin
        report("step", what="running", model=model["name"])
        subject = Subject(session, model)
        first, outputs = subject.run_once()
        require_finite(model["name"], session, outputs)
        subjects[position] = subject
        taken[position] = (load_ns, first)
    return subjects, taken


def run_turns(
    measurement: Measurement,
    subjects: dict[int, Subject],
    number: int,
    job: dict[str, Any],
    generator: np.random.Generator,
) -> None:
    """Turns until the set's time is over: in each, one block of every model, in an order drawn anew."""
    arguments = {position: itertools.cycle(subject.call()[1]) for position, subject in subjects.items()}
    share = len(subjects) / len(job["models"])
    begin = time.perf_counter_ns()
    for turn in itertools.count():
        if turn >= job["min_turns"] and time.perf_counter_ns() - begin > job["set_s"] * share * 1e9:
            break
        for position in generator.permutation(sorted(subjects)).tolist():
            at = (number, turn, position)
            measurement.block(
                at, subjects[position], arguments[position], int(job["block_s"] * 1e9), int(job["settle_s"] * 1e9)
            )
