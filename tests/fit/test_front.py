"""The front of what was trained to the end, and which of it is taken."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgekd.fit.entrants import capacity, entrants
from edgekd.fit.front import front_of, layers, most_accurate, taken, undominated
from edgekd.harness.scoring import paired
from edgekd.records.pricing import Priced
from edgekd.records.study import Finalist, ShippingFile
from tests.fit.pipelines import conv, priced

SAMPLES = 1000


def finalist(
    shape: int, correct: int, p50_s: float, size: int = 1000, unfit: str = "", target: str = "here", best: int = 960
) -> Finalist:
    """It has the first `correct` of the samples right, the best one the last `best`: they differ where they may."""
    right = np.arange(SAMPLES) < correct
    of_best = np.arange(SAMPLES) >= SAMPLES - best
    file = ShippingFile(
        candidate="int8_weights",
        size_bytes=size,
        correct=correct,
        samples=SAMPLES,
        accuracy_interval=(0.0, 1.0),
        p50_s=p50_s,
        p50_interval_s=None,
        instructions=None,
    )
    pairs = {target: paired("a", "b", right, of_best)}
    return Finalist(shape=shape, files={target: file}, against_best=pairs, unfit=unfit)


def test_the_front_is_what_loops_over_all_pairs_find() -> None:
    costs = np.random.default_rng(0).integers(0, 5, (60, 3)).astype(float)
    plain = [
        i
        for i in range(60)
        if not any(
            all(costs[j][k] <= costs[i][k] for k in range(3)) and any(costs[j][k] < costs[i][k] for k in range(3))
            for j in range(60)
        )
    ]
    assert undominated(costs.tolist()) == plain
    peeled = list(layers(costs.tolist()))
    assert peeled[0] == plain
    assert sorted(itertools.chain(*peeled)) == list(range(60))


def test_the_fastest_of_those_that_no_sample_tells_apart_is_taken() -> None:
    best, as_right, surely_worse = finalist(0, 960, 9e-6), finalist(1, 955, 6e-6), finalist(2, 800, 1e-6)
    choice = taken([best, as_right, surely_worse])
    assert choice is not None
    assert choice[0].shape == 1
    assert choice[1] == "the fastest of 2 between which 1,000 validation samples show no difference"


def test_the_most_accurate_is_taken_where_the_others_are_surely_worse() -> None:
    choice = taken([finalist(0, 960, 9e-6), finalist(1, 700, 6e-6)])
    assert choice is not None
    assert (choice[0].shape, choice[1]) == (0, "the most accurate")


def test_of_equally_fast_ones_the_smaller_is_taken() -> None:
    choice = taken([finalist(0, 960, 5e-6, size=3000), finalist(1, 955, 5e-6, size=2000)])
    assert choice is not None
    assert choice[0].shape == 1


def test_what_is_over_the_budget_is_neither_taken_nor_on_the_front_nor_the_measure_of_others() -> None:
    over, within = finalist(0, 990, 5e-6, unfit="too large"), finalist(1, 800, 9e-6)
    assert front_of([over, within]) == {1}
    assert most_accurate([over, within]) is within
    choice = taken([over, within])
    assert choice is not None
    assert choice[0] is within
    assert taken([over]) is None


def test_one_that_has_no_file_is_never_taken() -> None:
    assert taken([Finalist(shape=0, files={}, unfit="no candidate may ship")]) is None
    assert most_accurate([Finalist(shape=0, files={}, unfit="no candidate may ship")]) is None


def shapes(count: int) -> list[Priced]:
    draw = np.random.default_rng(1)
    return [
        priced(conv(number + 1), float(draw.uniform(1e-6, 1e-5)), int(draw.integers(1000, 9000)))
        for number in range(count)
    ]


def test_only_shapes_within_the_budget_enter_the_largest_of_the_first_front_first() -> None:
    many = [*shapes(40), priced(conv(99), 1e-9, 90_000, unfit="too many parameters")]
    found = entrants(many, seed=0)
    assert len(found) == 40
    assert all(not each.unfit for each in found)
    assert capacity(found[0]) == max(map(capacity, found))
    assert entrants([many[-1]], seed=0) == []


def test_the_order_depends_on_the_seed_alone_and_not_on_the_order_of_prices() -> None:
    many = shapes(30)
    assert entrants(many, seed=3) == entrants(many, seed=3)
    assert {each.parameters for each in entrants(many[::-1], seed=3)} == {each.parameters for each in many}
    same = [priced(conv(width), 5e-6, 4000) for width in range(1, 9)]
    assert [each.shape for each in entrants(same, seed=0)] != [each.shape for each in entrants(same, seed=1)]


@pytest.mark.parametrize("beginning", [5, 8])
def test_every_beginning_is_spread_over_the_front(beginning: int) -> None:
    """Of a hundred in a row, where there is more of most things: the gaps that a beginning leaves in the upper half are
    hardly larger than they must be, and it has more from there than from the lower half."""
    row = [priced(conv(number), 1e-6 * 1.02**number, round(1000 * 1.02**number)) for number in range(1, 101)]
    chosen = sorted(each.parameters for each in entrants(row, seed=0)[:beginning])
    places = [[each.parameters for each in row].index(parameters) + 1 for parameters in chosen]
    upper = [place for place in places if place >= 50]
    assert places[-1] == 100
    assert np.diff([50, *upper]).max() <= 2 * 99 / (beginning - 1) + 1
    assert len(upper) > len(places) / 2
