from __future__ import annotations

import numpy as np
import pytest

from edgekd.harness.statistics.location import pseudomedian
from edgekd.harness.statistics.looks import LOOKS, level_of_look, next_look, outcome
from edgekd.records.latency import Speed
from tests.harness.statistics.simulate import EFFECTS

SETS_AT_LOOKS = (8, 16, 28, 44, 60, 80)


def decisions(name: str, slowdown: float, runs: int) -> list[Speed]:
    """What whole measurements say that stop at the first decision."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(runs):
        ratios = EFFECTS[name](rng, (80,)) - EFFECTS[name](rng, (80,)) + np.log1p(slowdown)
        before: float | None = None
        said = Speed.UNDECIDED
        for look, sets in zip(LOOKS, SETS_AT_LOOKS, strict=True):
            interval = pseudomedian(ratios[:sets], level_of_look(look, before, 0.01), small=True).interval
            before = look
            assert interval is not None
            said = outcome((float(np.exp(interval[0])), float(np.exp(interval[1]))), 0.03)
            if said is not Speed.UNDECIDED:
                break
        found.append(said)
    return found


@pytest.mark.parametrize("name", EFFECTS)
def test_at_most_one_percent_of_comparisons_of_a_file_with_itself_call_it_different(name: str) -> None:
    found = decisions(name, 0.0, 1000)
    assert sum(each in (Speed.FASTER, Speed.SLOWER) for each in found) <= 10


@pytest.mark.parametrize("name", EFFECTS)
def test_ten_percent_slower_is_called_slower(name: str) -> None:
    assert decisions(name, 0.1, 200).count(Speed.SLOWER) >= 195


def test_all_looks_together_spend_the_whole_error_and_no_more() -> None:
    before: float | None = None
    spent = 0.0
    for look in LOOKS:
        spent += level_of_look(look, before, 0.01)
        before = look
    assert spent == pytest.approx(0.01)


def test_looks_that_were_missed_leave_their_error_to_the_next() -> None:
    assert level_of_look(1.0, None, 0.01) == pytest.approx(0.01)
    assert level_of_look(0.4, 0.15, 0.01) == pytest.approx(0.01 * 2 / 6)


def test_a_look_that_is_not_due_is_refused() -> None:
    with pytest.raises(AssertionError):
        level_of_look(0.16, 0.12, 0.01)


def test_the_next_look_is_the_first_that_is_not_over() -> None:
    assert next_look(0.0) == LOOKS[0]
    assert next_look(LOOKS[1]) == LOOKS[2]


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.99, 1.02), Speed.SAME),
        ((1.005, 1.02), Speed.SAME),  # certain, and too small to matter
        ((1.01, 1.2), Speed.SLOWER),
        ((0.5, 0.96), Speed.FASTER),
        ((0.95, 1.01), Speed.UNDECIDED),
        (None, Speed.UNDECIDED),
    ],
)
def test_what_an_interval_says(interval: tuple[float, float] | None, said: Speed) -> None:
    assert outcome(interval, 0.03) is said
