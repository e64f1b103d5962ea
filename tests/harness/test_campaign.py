from __future__ import annotations

import math

import numpy as np
import pytest

from edgekd.harness.campaign import LOAD_S, MOST_PROCESSES, PROCESS_S, SAMPLES_KEPT, SETS_IN_PROCESS, pace_of
from edgekd.harness.sets import load_orders


@pytest.mark.parametrize("seconds", [0.1, 5, 20, 300, 3600, 86400])
def test_a_measurement_of_any_length_keeps_a_bounded_number_of_samples(seconds: float) -> None:
    pace = pace_of(seconds)
    processes = math.ceil(seconds / pace.process_s)
    assert processes <= MOST_PROCESSES + 1
    assert processes * SETS_IN_PROCESS * pace.capacity <= 1.2 * SAMPLES_KEPT or processes == 1
    assert pace.capacity >= 3000


def test_usual_measurements_have_many_short_processes() -> None:
    assert pace_of(20).process_s == PROCESS_S
    assert pace_of(20).load_s == LOAD_S


def test_models_are_loaded_in_random_order_and_each_once() -> None:
    orders = load_orders(np.random.default_rng(0), 3, 200)
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}
    assert len(set(orders)) == 6
