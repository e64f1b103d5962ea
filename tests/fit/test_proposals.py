"""Which shapes are measured next."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as some

from edgekd.fit.cost_model import CostModel
from edgekd.fit.expected import Expected
from edgekd.fit.proposals import fronts, next_shapes
from edgekd.fit.shape import Network, Operation


def network(macs: int, parameters: int) -> Network:
    return Network(parameters, (Operation("linear", macs, 8, 8, 1, 8, parameters),))


def expected(limit: float | None, room: int | None = None) -> Expected:
    """One candidate that takes 1 for each multiply-add and has a byte for each weight."""
    costs, sizes = CostModel({"linear: multiply-adds": 1.0}), CostModel({"linear: weights": 1.0})
    return Expected({"fp32": costs}, {"fp32": sizes}, room, limit, usual=100.0)


@given(some.lists(some.tuples(*[some.integers(0, 4)] * 3), min_size=1, max_size=12))
def test_fronts_are_those_that_a_plain_loop_finds(rows: list[tuple[int, int, int]]) -> None:
    left, number, wanted = set(range(len(rows))), 0, [-1] * len(rows)
    while left:
        front = {
            one
            for one in left
            if not any(
                all(a >= b for a, b in zip(rows[other], rows[one], strict=True)) and rows[other] != rows[one]
                for other in left
            )
        }
        for one in front:
            wanted[one] = number
        left, number = left - front, number + 1
    assert fronts(np.array(rows, np.float64)).tolist() == wanted


def test_what_is_expected_far_over_the_budget_is_not_measured() -> None:
    pool = [network(macs, 10) for macs in (50, 90, 150, 250, 900)]
    chosen = next_shapes(pool, [expected(limit=100)], 5, np.random.default_rng(0))
    assert sorted(chosen) == [0, 1, 2], "up to twice the budget, to learn from"


def test_half_are_the_first_fronts_within_the_budget() -> None:
    pool = [network(macs, parameters) for macs, parameters in ((90, 50), (90, 10), (50, 50), (50, 10), (150, 99))]
    chosen = next_shapes(pool, [expected(limit=100)], 4, np.random.default_rng(0))
    assert set(chosen[:2]) == {0, 2}, "as many parameters for the cost as there are"
    assert len(set(chosen)) == 4


def test_a_file_that_is_too_large_is_none() -> None:
    pool = [network(50, 1000), network(50, 10)]
    assert next_shapes(pool, [expected(limit=100, room=100)], 2, np.random.default_rng(0)) == [1]


def test_the_dearest_target_decides() -> None:
    pool = [network(90, 10)]
    assert next_shapes(pool, [expected(limit=100), expected(limit=10)], 2, np.random.default_rng(0)) == []


def test_without_a_limit_all_are_within() -> None:
    pool = [network(macs, 10) for macs in (5, 5000)]
    assert sorted(next_shapes(pool, [expected(limit=None)], 2, np.random.default_rng(0))) == [0, 1]
