from __future__ import annotations

import pytest

from edgekd.records.check import Check, Outcome, verdict
from edgekd.release.gate import at_least, at_most


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.001, 0.004), Outcome.PASS),
        ((0.001, 0.005), Outcome.PASS),
        ((0.004, 0.006), Outcome.UNDECIDED),
        ((0.005, 0.006), Outcome.UNDECIDED),
        ((0.0051, 0.006), Outcome.FAIL),
        (None, Outcome.UNDECIDED),
    ],
)
def test_at_most_passes_only_when_the_whole_interval_keeps_the_limit(
    interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    assert at_most("drop", 0.005, 0.004, interval, "more").outcome is outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((2.0, 3.0), Outcome.PASS),
        ((1.9, 3.0), Outcome.UNDECIDED),
        ((1.0, 2.0), Outcome.UNDECIDED),
        ((1.0, 1.99), Outcome.FAIL),
        (None, Outcome.UNDECIDED),
    ],
)
def test_at_least_passes_only_when_the_whole_interval_keeps_the_limit(
    interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    assert at_least("speedup", 2.0, 2.5, interval, "more").outcome is outcome


def test_an_undecided_check_says_what_would_decide_it() -> None:
    assert at_most("drop", 0.005, 0.004, (0.001, 0.009), "more test images would decide").why == (
        "the interval holds the limit; more test images would decide"
    )


def test_the_verdict_is_the_worst_outcome() -> None:
    def check(outcome: Outcome) -> Check:
        return Check(name="x", limit=1, observed=1, interval=None, outcome=outcome, why="")

    good, bad, open_ = check(Outcome.PASS), check(Outcome.FAIL), check(Outcome.UNDECIDED)
    assert verdict((good, good)) is Outcome.PASS
    assert verdict((good, open_)) is Outcome.UNDECIDED
    assert verdict((open_, bad, good)) is Outcome.FAIL
    assert verdict(()) is Outcome.PASS
