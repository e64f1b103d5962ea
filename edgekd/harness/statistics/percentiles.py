"""Percentiles of latency with intervals that respect what inferences of one load have in common.

Inferences of one load share its speed and follow each other in time, so they are no independent sample. Loads
are: the method is batch means with the load as the natural batch (a block bootstrap would have to be told a
block length; here the machine gives it). Several short loads make up one batch where a single one is too small
for the percentile. Slow models give too few inferences for that; then the ranks of all of them bound the
percentile, after their number has been reduced by their autocorrelation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.harness.statistics.location import pseudomedian
from edgekd.harness.statistics.series import effective_count
from edgekd.records.latency import Percentile

SMALLEST_SAMPLE = {0.5: 8, 0.9: 64, 0.99: 662, 0.999: 6636}
"""Source: MLPerf inference rules, early stopping for single stream at 99 % confidence (p50: 8 of our own)."""

LOADS_WANTED = 3
BATCHES_WANTED = 6
"""Of joined loads: below it the ranks of all samples tell more. Of whole loads fewer do: ranks leave out how loads
differ, and hold the truth in only half of the runs then."""


def percentile(loads: Sequence[NDArray[np.float64]], share: float, level: float) -> Percentile | None:
    """The percentile over loads (steady samples in seconds, one array a load, in time order), or None where all
    samples together are too few for it."""
    total = sum(len(load) for load in loads)
    if total < SMALLEST_SAMPLE[share]:
        return None
    batches = batched(loads, SMALLEST_SAMPLE[share])
    wanted = LOADS_WANTED if len(batches) == len(loads) else BATCHES_WANTED
    if len(batches) >= wanted:
        values = np.log([quantile(batch, share) for batch in batches])
        located = pseudomedian(values, level, small=True)
        assert located.interval is not None, "from 3 values on there is one"
        low, high = np.exp(located.interval)
        return _made(share, float(np.exp(located.value)), (float(low), float(high)), "loads")
    everything = np.concatenate(loads)
    interval = rank_interval(everything, share, level)
    return _made(share, quantile(everything, share), interval, "order statistics")


def quantile(samples: NDArray[np.float64], share: float) -> float:
    """The smallest sample that at least `share` of all do not exceed."""
    position = int(np.ceil(share * len(samples) - 1e-9)) - 1
    return float(np.partition(samples, position)[position])


def batched(loads: Sequence[NDArray[np.float64]], least: int) -> list[NDArray[np.float64]]:
    """Consecutive loads joined until each batch holds `least` samples; what is left over joins the last one."""
    batches: list[list[NDArray[np.float64]]] = [[]]
    for load in loads:
        if sum(map(len, batches[-1])) >= least:
            batches.append([])
        batches[-1].append(load)
    if len(batches) > 1 and sum(map(len, batches[-1])) < least:
        short = batches.pop()
        batches[-1] += short
    return [np.concatenate(batch) for batch in batches]


def rank_interval(samples: NDArray[np.float64], share: float, level: float) -> tuple[float, float] | None:
    """The order statistics that bound the percentile; None where one of the two bounds lies outside the sample.

    The number above each rank is binomial; n is reduced to the effective number of independent samples.
    """
    n = len(samples)
    effective = round(effective_count(samples <= quantile(samples, share)))
    low = binomial_quantile(level / 2, effective, share) / effective
    high = (binomial_quantile(1 - level / 2, effective, share) + 1) / effective
    first, last = int(np.floor(low * n)) - 1, int(np.ceil(high * n)) - 1
    if first < 0 or last >= n:
        return None
    ordered = np.sort(samples)
    return float(ordered[first]), float(ordered[last])


def binomial_quantile(probability: float, trials: int, chance: float) -> float:
    """The smallest number of hits that is not exceeded with at least this probability."""
    from scipy import special

    hits = float(np.ceil(special.bdtrik(probability, trials, chance)))
    below = max(hits - 1, 0.0)
    return below if special.bdtr(below, trials, chance) >= probability else hits


def _made(
    share: float,
    value: float,
    interval: tuple[float, float] | None,
    method: Literal["loads", "order statistics"],
) -> Percentile:
    return Percentile(share=share, value_s=value, interval_s=interval, method=method)
