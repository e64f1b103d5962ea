"""Raw samples as they come from the device, sorted into loads; what is steady, what is warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import StageError
from edgekd.harness.replies import HINT, read_integers
from edgekd.harness.statistics.series import warmup_blocks

BLOCK_COLUMNS = ("process", "set", "turn", "model", "start_ns", "settling", "count")
LOAD_COLUMNS = ("process", "set", "model", "load_ns", "first_ns")


@dataclass(frozen=True)
class Load:
    """One load of one model. turns, medians: the number of each steady block and its median in seconds; steady:
    their samples in seconds (N,), in time order, without settling; unsteady: it never left its warm-up."""

    process: int
    set: int
    model: int
    load_s: float
    first_s: float
    turns: NDArray[np.int64]
    medians: NDArray[np.float64]
    steady: NDArray[np.float64]
    warmup: int
    settling: int
    unsteady: bool


@dataclass(frozen=True)
class Process:
    """What one process of the agent measured."""

    number: int
    blocks: NDArray[np.int64]
    samples: NDArray[np.int64]
    loads: NDArray[np.int64]
    inferences: NDArray[np.int64]


def read_process(path: Path, number: int) -> Process:
    """What a process measured.

    Raises:
        StageError: the file is damaged, or its parts do not belong together.
    """
    arrays = read_integers(path, {"blocks": 6, "samples": 0, "loads": 4, "inferences": 0})
    process = Process(number, arrays["blocks"], arrays["samples"], arrays["loads"], arrays["inferences"])
    if not belongs_together(process):
        raise StageError("what the device measured is damaged: its parts do not belong together", hint=HINT)
    return process


def belongs_together(process: Process) -> bool:
    """Whether the arrays of a process are of one measurement."""
    models = len(process.inferences)
    timed = set(map(tuple, process.blocks[:, [0, 2]].tolist()))
    measured = {model for number, model, *_ in process.loads.tolist() if (number, model) in timed}
    settling, counts = process.blocks[:, 4], process.blocks[:, 5]
    return bool(
        models > 0
        and measured == set(range(models))
        and all(((rows >= 0) & (rows < models)).all() for rows in (process.blocks[:, 2], process.loads[:, 1]))
        and ((settling >= 0) & (settling < counts)).all()
        and counts.sum() == len(process.samples)
        and (process.samples > 0).all()
        and (process.loads[:, 2:] > 0).all()
    )


def loads_of(process: Process, first_set: int) -> list[Load]:
    """The loads of a process, its sets numbered from `first_set`."""
    blocks = process.blocks
    ends = np.cumsum(blocks[:, 5])
    found = []
    for set_number, model, load_ns, first_ns in process.loads.tolist():
        rows = np.flatnonzero((blocks[:, 0] == set_number) & (blocks[:, 2] == model))
        timed = [process.samples[ends[row] - blocks[row, 5] + blocks[row, 4] : ends[row]] / 1e9 for row in rows]
        if not timed:
            continue
        medians = np.array([np.median(block) for block in timed])
        cold = warmup_blocks(medians)
        found.append(
            Load(
                process=process.number,
                set=first_set + set_number,
                model=model,
                load_s=load_ns / 1e9,
                first_s=first_ns / 1e9,
                turns=blocks[rows[cold:], 1],
                medians=medians[cold:],
                steady=np.concatenate(timed[cold:]),
                warmup=sum(len(block) for block in timed[:cold]),
                settling=int(blocks[rows, 4].sum()),
                unsteady=0 < cold == len(medians) // 2,
            )
        )
    return found


def log_ratios(loads: Sequence[Load], model: int, baseline: int) -> NDArray[np.float64]:
    """For each set the log of the model's time over the baseline's: the median over the turns that both have,
    each turn a pair of neighbouring blocks, so that what the machine does meanwhile cancels."""
    by_set = {(load.set, load.model): load for load in loads}
    ratios = []
    for number in sorted({load.set for load in loads}):
        one, other = by_set.get((number, model)), by_set.get((number, baseline))
        if one is None or other is None:
            continue
        _, here, there = np.intersect1d(one.turns, other.turns, assume_unique=True, return_indices=True)
        if len(here):
            ratios.append(float(np.median(np.log(one.medians[here] / other.medians[there]))))
    return np.array(ratios)
