from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekd.agent.timing import Measurement, loop_overhead_ns, time_block
from edgekd.harness.samples import Process, belongs_together, loads_of, log_ratios, read_process


class Instant:
    """Stands for a subject whose inference takes no time."""

    name = "instant"

    def call(self) -> tuple[object, list[object]]:
        return (lambda argument: None), [None]


def measured(turns: int, capacity: int) -> Measurement:
    measurement = Measurement(capacity, 2)
    arguments = itertools.cycle([None])
    for turn in range(turns):
        for model in (0, 1):
            measurement.block((0, turn, model), Instant(), arguments, 20_000, 2_000)  # type: ignore[arg-type]
    return measurement


def test_a_long_load_is_thinned_by_whole_turns_and_by_position_alone() -> None:
    measurement = measured(64, 1500)
    kept = sorted({block[1] for block in measurement.blocks})
    stride = kept[1] - kept[0]
    assert stride & (stride - 1) == 0
    assert stride > 1
    assert kept == list(range(0, 64, stride))
    assert all(sum(1 for block in measurement.blocks if block[1] == turn) == 2 for turn in kept)
    assert sum(block[5] for block in measurement.blocks) <= 1500 + max(block[5] for block in measurement.blocks)
    assert sum(measurement.inferences) > sum(block[5] for block in measurement.blocks)


def test_nothing_is_thinned_within_the_capacity(tmp_path: Path) -> None:
    measurement = measured(8, 1_000_000)
    assert sum(measurement.inferences) == sum(block[5] for block in measurement.blocks)
    measurement.loads = [(0, 0, 10, 20), (0, 1, 30, 40)]
    measurement.save(str(tmp_path / "raw.npz"))
    process = read_process(tmp_path / "raw.npz", 3)
    assert process.number == 3
    assert [load.warmup + load.settling + len(load.steady) for load in loads_of(process, 0)] == measurement.inferences


def test_a_block_runs_once_at_least_and_stops_at_the_buffers_end() -> None:
    buffer = memoryview(np.zeros(4, np.int64))  # type: ignore[arg-type]
    assert time_block(lambda argument: None, itertools.cycle([None]), 0, buffer) == 1
    assert time_block(lambda argument: None, itertools.cycle([None]), 1 << 40, buffer) == 4


def test_durations_are_those_of_the_function() -> None:
    buffer = memoryview(np.zeros(3, np.int64))  # type: ignore[arg-type]
    assert time_block(lambda argument: time.sleep(0.005), itertools.cycle([None]), 1 << 40, buffer) == 3
    assert all(buffer[n] >= 5_000_000 for n in range(3))


def test_the_loop_adds_less_than_two_microseconds() -> None:
    overhead = loop_overhead_ns(memoryview(np.zeros(1 << 16, np.int64)))  # type: ignore[arg-type]
    assert 0 < overhead["inside_ns"] < 2000
    assert overhead["between_ns"] < 2000


def process_of(levels: list[list[float]], number: int = 0) -> Process:
    """One process with a set for each row of levels, and a model for each level: 10 turns of 1 settling and 4
    steady inferences, the first two turns twice as slow."""
    blocks, samples, loads = [], [], []
    for set_number, row in enumerate(levels):
        loads += [(set_number, model, 1000, 2000) for model in range(len(row))]
        for turn in range(10):
            for model, level in enumerate(row):
                blocks.append((set_number, turn, model, 0, 1, 5))
                samples += [9e9] + [level * (2 if turn < 2 else 1) * (1 + 1e-4 * n) for n in range(4)]
    counts = np.array([50 * len(levels)] * len(levels[0]))
    return Process(number, np.array(blocks), np.array(samples).astype(np.int64), np.array(loads), counts)


def test_a_model_without_a_load_that_was_timed_is_no_measurement() -> None:
    whole = process_of([[1e6, 2e6], [1e6, 2e6]])
    assert belongs_together(whole)
    assert not belongs_together(replace(whole, loads=whole.loads[whole.loads[:, 1] == 0]))
    elsewhere = whole.loads.copy()
    elsewhere[elsewhere[:, 1] == 1, 0] += 2  # sets of which no block is there
    assert not belongs_together(replace(whole, loads=elsewhere))


def test_settling_and_warm_up_are_kept_apart_from_steady_samples() -> None:
    load, other = loads_of(process_of([[1e6, 2e6]]), 5)
    assert (load.set, load.model, load.load_s, load.first_s) == (5, 0, 1e-6, 2e-6)
    assert (load.settling, load.warmup, len(load.steady)) == (10, 8, 32)
    assert load.steady.max() < 1.01e-3
    assert other.steady.min() >= 2e-3
    assert load.turns.tolist() == list(range(2, 10))
    assert not load.unsteady


def test_ratios_are_taken_within_each_set() -> None:
    loads = loads_of(process_of([[1e6, 2e6], [3e6, 9e6], [1e6, 1e6]]), 0)
    assert np.exp(log_ratios(loads, 1, 0)) == pytest.approx([2, 3, 1])
    assert np.exp(log_ratios(loads, 0, 1)) == pytest.approx([1 / 2, 1 / 3, 1])


def test_a_drift_within_a_set_cancels_in_the_ratio() -> None:
    process = process_of([[1e6, 1.1e6]])
    slower = np.repeat(np.linspace(1, 3, len(process.blocks)), 5)
    drifting = replace(process, samples=(process.samples * slower).astype(np.int64))
    (ratio,) = np.exp(log_ratios(loads_of(drifting, 0), 1, 0))
    assert ratio == pytest.approx(1.1, abs=0.07)
