from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgekd.harness.statistics.percentiles import batched, binomial_quantile, percentile, quantile, rank_interval
from tests.harness.statistics.simulate import SIMULATIONS

RUNS, LOADS, SAMPLES = 1500, 14, 400


def truth(name: str, share: float) -> float:
    """The centre over loads of the logarithm of the percentile within a load, from 4,000 loads of a like size."""
    loads = SIMULATIONS[name](np.random.default_rng(7), 1, 4000, SAMPLES)[0]
    values = np.log(np.sort(loads, axis=1)[:, int(np.ceil(share * SAMPLES)) - 1])
    rng = np.random.default_rng(8)
    return float(np.median((values[rng.integers(0, 4000, 400_000)] + values[rng.integers(0, 4000, 400_000)]) / 2))


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent_of_runs(name: str, share: float) -> None:
    wanted = np.exp(truth(name, share))
    runs = SIMULATIONS[name](np.random.default_rng(1), RUNS, LOADS, SAMPLES)
    held = 0
    for loads in runs:
        found = percentile(list(loads), share, 0.05)
        assert found is not None
        assert found.interval_s is not None
        assert found.method == "loads"
        held += found.interval_s[0] <= wanted <= found.interval_s[1]
    assert 0.93 <= held / RUNS <= 0.97


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_five_loads_hold_the_truth_too(name: str, share: float) -> None:
    wanted = np.exp(truth(name, share))
    found = [
        percentile(list(loads), share, 0.05) for loads in SIMULATIONS[name](np.random.default_rng(1), 1000, 5, SAMPLES)
    ]
    held = [each.interval_s[0] <= wanted <= each.interval_s[1] for each in found if each and each.interval_s]
    assert len(held) == 1000
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("samples", [70, 300])
def test_rank_intervals_of_independent_samples_hold_the_truth(share: float, samples: int) -> None:
    rng = np.random.default_rng(2)
    wanted = -np.log1p(-share)  # of the exponential distribution
    held = [
        low <= wanted <= high
        for low, high in (rank_interval(rng.exponential(size=samples), share, 0.05) or (0, 9) for _ in range(1000))
    ]
    assert 0.93 <= np.mean(held) <= 0.985  # ranks are whole numbers: a little wide with few samples


def test_rank_intervals_widen_with_autocorrelation() -> None:
    rng = np.random.default_rng(3)
    series = rng.standard_normal(2000)
    for position in range(1, 2000):
        series[position] = 0.9 * series[position - 1] + 0.436 * series[position]
    together = rank_interval(np.exp(series), 0.5, 0.05)
    apart = rank_interval(np.exp(rng.permutation(series)), 0.5, 0.05)
    assert together is not None
    assert apart is not None
    assert np.log(together[1] / together[0]) > 2 * np.log(apart[1] / apart[0])


@pytest.mark.parametrize(("share", "least"), [(0.9, 64), (0.99, 662), (0.999, 6636)])
def test_a_percentile_is_not_given_below_its_smallest_sample(share: float, least: int) -> None:
    samples = np.random.default_rng(4).exponential(size=least)
    assert percentile([samples[:-1]], share, 0.01) is None
    assert percentile([samples], share, 0.01) is not None


def test_few_samples_for_each_load_are_joined_into_batches() -> None:
    loads = [np.full(3, float(number)) for number in range(10)]
    batches = batched(loads, 8)
    assert [len(batch) for batch in batches] == [9, 9, 12]
    assert np.concatenate(batches).tolist() == np.concatenate(loads).tolist()


def test_one_short_load_alone_is_one_batch() -> None:
    assert [len(batch) for batch in batched([np.ones(3)], 8)] == [3]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_quantile_is_numpys_inverted_cdf(share: float) -> None:
    for samples in (1, 7, 10, 100, 1001):
        values = np.random.default_rng(samples).exponential(size=samples)
        assert quantile(values, share) == np.quantile(values, share, method="inverted_cdf")


@pytest.mark.parametrize("probability", [0.0005, 0.025, 0.5, 0.975, 0.9995])
def test_binomial_quantiles_are_scipys(probability: float) -> None:
    for trials in (1, 5, 64, 662, 10_000):
        for chance in (0.5, 0.9, 0.99):
            assert binomial_quantile(probability, trials, chance) == stats.binom.ppf(probability, trials, chance)
