"""Periodic and throughput measuring."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from edgekd.agent.periodic import DROPPED, pace
from edgekd.agent.throughput import storm
from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.harness.periodic import measure_periodic
from edgekd.harness.throughput import measure_throughput
from edgekd.progress import Silent
from edgekd.records.latency import Speed
from edgekd.records.runtime import RuntimeSettings


def test_frames_that_come_while_the_model_is_busy_are_dropped_but_the_newest() -> None:
    times = pace(lambda argument: time.sleep(0.025), [None], 10_000_000, 20)
    answered = times[times[:, 0] != DROPPED]
    assert (times[times[:, 0] == DROPPED] == DROPPED).all()
    assert 5 <= len(answered) <= 10  # 25 ms of work every 30 ms
    assert (answered[:, 1] - answered[:, 0] >= 25_000_000).all()


def test_a_fast_model_meets_every_frame_in_time() -> None:
    times = pace(lambda argument: None, [None], 5_000_000, 20)
    assert np.count_nonzero(times[:, 0] == DROPPED) <= 2  # a busy machine may stop us for longer than a frame
    assert (times[:, 1] >= times[:, 0]).all()


def test_frames_arrive_at_the_pace_asked_for() -> None:
    begin = time.perf_counter()
    pace(lambda argument: None, [None], 10_000_000, 10)
    assert time.perf_counter() - begin >= 0.1


def test_periodic_measuring_counts_missed_deadlines(models: dict[str, Path]) -> None:
    record = measure_periodic(
        Local(use="local"), RuntimeSettings(), Measuring(seconds=3), models, 0.02, 1e-6, 0, Silent()
    )
    for model in record.models:
        assert model.frames >= 50
        assert model.miss_rate == 1.0  # nothing answers within a microsecond
        assert model.miss_rate_interval[1] == 1.0
        assert model.miss_rate_interval[0] > 0.5
        assert model.missed == model.frames
    assert record.models[1].response[0].value_s > 0


def test_every_client_works_for_the_same_while() -> None:
    class Sleeper:
        def client(self) -> tuple[object, list[object]]:
            return (lambda argument: time.sleep(0.002)), [None]

    finished, taken_ns = storm(Sleeper(), 4, 200_000_000)  # type: ignore[arg-type]
    assert taken_ns >= 200_000_000
    assert finished / (taken_ns / 1e9) == pytest.approx(4 / 0.002, rel=0.6)
    assert finished > 1.5 * (taken_ns / 1e9) / 0.002  # one client alone could not


def test_throughput_compares_models(models: dict[str, Path]) -> None:
    record = measure_throughput(
        Local(use="local"), RuntimeSettings(), Measuring(seconds=2), models, "big", 2, 0, Silent()
    )
    small, big = record.models
    assert small.throughput_per_s.value > 3 * big.throughput_per_s.value
    assert record.comparisons[0].outcome is Speed.FASTER
    assert record.decided
