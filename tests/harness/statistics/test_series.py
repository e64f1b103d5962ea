from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgekd.harness.statistics.proportion import rate_interval
from edgekd.harness.statistics.series import autocorrelation, effective_count, warmup_blocks
from edgekd.harness.statistics.shape import bimodality, drift


def autoregressive(rho: float, n: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(n)
    series = noise.copy()
    for position in range(1, n):
        series[position] = rho * series[position - 1] + np.sqrt(1 - rho**2) * noise[position]
    return series


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_effective_count_is_that_of_theory(rho: float) -> None:
    n = 20_000
    counts = [effective_count(autoregressive(rho, n, seed)) for seed in range(10)]
    assert np.mean(counts) == pytest.approx(n * (1 - rho) / (1 + rho), rel=0.15)


def test_autocorrelation_is_that_of_the_definition() -> None:
    series = np.random.default_rng(0).standard_normal(50)
    centred = series - series.mean()
    wanted = [(centred[lag:] * centred[:-lag]).sum() / (centred**2).sum() for lag in (1, 2, 3)]
    assert autocorrelation(series, 3) == pytest.approx(wanted)
    assert autocorrelation(np.ones(10), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("cold", [0, 1, 3, 6])
def test_slow_blocks_at_the_start_are_warm_up(cold: int) -> None:
    medians = np.full(20, 1.0) + 0.001 * np.random.default_rng(1).standard_normal(20)
    medians[:cold] *= np.linspace(1.6, 1.1, cold)
    assert warmup_blocks(medians) == cold


def test_a_slow_block_later_on_is_no_warm_up() -> None:
    medians = np.full(20, 1.0)
    medians[5] = 3.0
    assert warmup_blocks(medians) == 0


def test_a_load_that_never_settles_has_half_of_it_taken_for_warm_up() -> None:
    assert warmup_blocks(np.concatenate([np.linspace(4, 2, 10), np.full(10, 1.0)])) == 10


def test_two_speeds_are_found_and_one_is_not() -> None:
    rng = np.random.default_rng(2)
    one = np.exp(0.01 * rng.standard_normal(4000))
    slow = rng.random(4000) < 0.3
    found = bimodality(np.where(slow, 1.4, 1.0) * one)
    assert found is not None
    assert found == pytest.approx((1.0, 1.4, 0.3), rel=0.05)
    assert bimodality(one) is None
    assert bimodality(1 + rng.exponential(0.02, 4000)) is None


def test_a_drift_is_found_with_its_size_and_noise_is_none() -> None:
    rng = np.random.default_rng(3)
    noise = np.exp(0.005 * rng.standard_normal(30))
    found = drift(np.linspace(1.0, 1.1, 30) * noise)
    assert found == pytest.approx(0.1, abs=0.02)
    assert drift(noise) is None


def test_drift_is_what_mann_kendall_and_theil_sen_say() -> None:
    rng = np.random.default_rng(12)
    for slope in (0.0, 0.002, 0.02):
        medians = np.exp(slope * np.arange(25) + 0.01 * rng.standard_normal(25))
        significant = stats.kendalltau(np.arange(25), medians, method="asymptotic").pvalue <= 0.001
        found = drift(medians)
        assert (found is not None) == significant
        if found is not None:
            fitted = stats.theilslopes(np.log(medians), np.arange(25)).slope
            assert found == pytest.approx(np.expm1(24 * fitted))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
@pytest.mark.parametrize(("alike", "least"), [(None, 930), (100, 930), (20, 900)])
def test_95_percent_intervals_of_a_rate_hold_it_when_loads_differ(rate: float, alike: int | None, least: int) -> None:
    """`alike`: the smaller, the more the loads' chances differ (of a beta distribution, its two parameters added)."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(1000):
        chances = rate if alike is None else rng.beta(rate * alike, (1 - rate) * alike, 16)
        events = rng.binomial(100, chances, 16)
        _, (low, high) = rate_interval(events, np.full(16, 100), 0.05)
        held += low <= rate <= high
    assert held >= least


def test_a_rate_of_none_has_the_upper_end_of_clopper_and_pearson() -> None:
    rate, (low, high) = rate_interval(np.zeros(4, np.int64), np.full(4, 25), 0.05)
    assert (rate, low) == (0, 0)
    assert high == pytest.approx(1 - 0.025 ** (1 / 100))
