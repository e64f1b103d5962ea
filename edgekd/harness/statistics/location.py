"""The centre of a few independent values (one for each load), with an interval that outliers do not spoil."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 200  # more are first joined by their medians, so that time and memory stay bounded


@dataclass(frozen=True)
class Located:
    """`interval` is None where so few values carry none at the level asked for."""

    value: float
    interval: tuple[float, float] | None


def pseudomedian(values: NDArray[np.float64], level: float, *, small: bool = False) -> Located:
    """The Hodges-Lehmann estimate with the interval that inverts Wilcoxon's signed-rank test at `level`.

    Exact whenever the values are independent and symmetric about one centre, whatever their tails: log ratios of
    a file to itself are symmetric by construction. Below 1 - log2(level) values no rank interval exists; with
    `small` Student's t stands in from 3 values on (conservative for heavy symmetric tails).

    Source: Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd ed., §3.1-3.3; Efron 1969 for t.
    """
    values = joined(values, MOST_VALUES)
    n = len(values)
    first, second = np.triu_indices(n)
    averages = np.sort((values[first] + values[second]) / 2)
    centre = float(np.median(averages))
    cut = signed_rank_cut(n, level)
    if cut > 0:
        return Located(centre, (float(averages[cut - 1]), float(averages[-cut])))
    if not small or n < 3:
        return Located(centre, None)
    from scipy import special

    mean = float(values.mean())
    half = float(special.stdtrit(n - 1, 1 - level / 2) * values.std(ddof=1) / np.sqrt(n))
    return Located(centre, (min(mean - half, centre), max(mean + half, centre)))


@lru_cache(maxsize=1024)
def signed_rank_cut(n: int, level: float) -> int:
    """The largest k with P(W < k) <= level / 2 for the rank sum W of n signs: the k-th smallest and largest
    Walsh averages bound the interval; 0 if there is none."""
    weights = np.ones(1)
    for rank in range(1, n + 1):
        grown = np.zeros(len(weights) + rank)
        grown[: len(weights)] += weights / 2
        grown[rank:] += weights / 2
        weights = grown
    return int(np.searchsorted(np.cumsum(weights), level / 2, side="right"))


def joined(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """At most so many values: medians of neighbours, which are as independent and as symmetric as they were."""
    size = -(-len(values) // most)
    if size <= 1:
        return values
    return np.array([np.median(values[first : first + size]) for first in range(0, len(values) - size + 1, size)])
