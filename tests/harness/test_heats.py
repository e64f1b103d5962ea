"""Who comes into the final measurement."""

from __future__ import annotations

import pytest

from edgekd.config.target import Measuring
from edgekd.harness.heats import decided, finalists
from edgekd.records.latency import Comparison, Speed


def pair(model: str, baseline: str, low: float, high: float, outcome: Speed = Speed.UNDECIDED) -> Comparison:
    ratio = (low * high) ** 0.5
    return Comparison(
        model=model, baseline=baseline, ratio=ratio, interval=(low, high), margin=0.03, outcome=outcome, pairs=9
    )


SLOWER = pair("b", "a", 1.1, 1.3, Speed.SLOWER)


def test_who_is_surely_slower_by_more_than_the_margin_is_out() -> None:
    assert finalists([SLOWER], ["a", "b"], Measuring()) == ["a"]
    assert finalists([SLOWER.reverse()], ["a", "b"], Measuring()) == ["a"]


@pytest.mark.parametrize("interval", [(0.9, 1.5), (1.01, 1.02), (1.02, 1.9)])
def test_who_may_be_as_fast_stays(interval: tuple[float, float]) -> None:
    assert finalists([pair("b", "a", *interval)], ["a", "b"], Measuring()) == ["a", "b"]


def test_who_may_not_ship_beats_nobody_and_does_not_come_in() -> None:
    assert finalists([SLOWER, pair("b", "c", 1.0, 1.0)], ["b", "c"], Measuring()) == ["b", "c"]


def test_a_pair_without_an_interval_says_nothing() -> None:
    unknown = SLOWER.model_copy(update={"interval": None})
    assert finalists([unknown], ["a", "b"], Measuring()) == ["a", "b"]


def test_more_measuring_is_for_those_of_whom_a_pair_is_undecided() -> None:
    pairs = [SLOWER, pair("c", "a", 0.9, 1.1)]
    assert decided(pairs, ["a", "b"])
    assert not decided(pairs, ["a", "b", "c"])
