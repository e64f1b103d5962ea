from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgekd.harness.statistics.location import MOST_VALUES, joined, pseudomedian
from tests.harness.statistics.simulate import EFFECTS


@pytest.mark.parametrize("n", [8, 11, 15, 24, 80])
@pytest.mark.parametrize("level", [0.05, 0.01, 0.0017])
def test_the_interval_is_what_wilcoxons_exact_test_does_not_reject(n: int, level: float) -> None:
    values = np.random.default_rng(n).standard_normal(n)
    interval = pseudomedian(values, level).interval
    if interval is None:
        assert 2 ** (1 - n) > level
        return
    step = 1e-9
    for end, inside in ((interval[0], 1), (interval[1], -1)):
        assert stats.wilcoxon(values - end - inside * step, method="exact").pvalue > level
        assert stats.wilcoxon(values - end + inside * step, method="exact").pvalue <= level


def test_many_values_are_joined_and_still_hold_the_truth() -> None:
    assert len(joined(np.arange(1001.0), MOST_VALUES)) <= MOST_VALUES
    assert joined(np.arange(4.0), 2).tolist() == [0.5, 2.5]
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(300):
        interval = pseudomedian(0.01 * rng.standard_t(2, 1000), 0.05).interval
        assert interval is not None
        held += interval[0] <= 0 <= interval[1]
    assert 0.91 <= held / 300 <= 0.985  # of 300 runs, not thousands


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("sets", [8, 9, 12, 24])
def test_95_percent_intervals_of_a_ratio_hold_the_truth_in_93_to_97_percent_of_runs(name: str, sets: int) -> None:
    rng = np.random.default_rng(sets)
    runs = 4000
    differences = EFFECTS[name](rng, (runs, sets)) - EFFECTS[name](rng, (runs, sets)) + 0.1
    intervals = [pseudomedian(each, 0.05, small=True).interval for each in differences]
    held = np.mean([interval is not None and interval[0] <= 0.1 <= interval[1] for interval in intervals])
    assert 0.93 <= held <= 0.97


def test_too_few_values_have_no_rank_interval_and_students_stands_in_only_when_asked() -> None:
    values = np.array([0.1, 0.2, 0.15, 0.12])
    assert pseudomedian(values, 0.01).interval is None
    found = pseudomedian(values, 0.01, small=True)
    half = stats.t.ppf(0.995, 3) * values.std(ddof=1) / 2
    assert found.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert pseudomedian(values[:2], 0.01, small=True).interval is None


def test_one_wild_load_in_twenty_moves_the_interval_little() -> None:
    values = np.random.default_rng(5).normal(0, 0.01, 20)
    wild = values.copy()
    wild[0] = 3.0
    calm_interval, wild_interval = pseudomedian(values, 0.01).interval, pseudomedian(wild, 0.01).interval
    assert calm_interval is not None
    assert wild_interval is not None
    assert wild_interval[1] - calm_interval[1] < 0.02


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30), st.floats(-5, 5))
def test_shifting_the_values_shifts_the_interval(values: list[float], shift: float) -> None:
    here, there = (pseudomedian(np.array(values) + by, 0.05, small=True) for by in (0.0, shift))
    assert there.value == pytest.approx(here.value + shift, abs=1e-9)
    assert here.interval is not None
    assert there.interval == pytest.approx((here.interval[0] + shift, here.interval[1] + shift), abs=1e-9)
