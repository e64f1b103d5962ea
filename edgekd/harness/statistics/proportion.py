"""A rate of events whose chance may differ from one load to the next."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rate_interval(
    events: NDArray[np.int64], trials: NDArray[np.int64], level: float
) -> tuple[float, tuple[float, float]]:
    """The rate over all loads (`events` of `trials` for each) and its interval.

    The number of trials is reduced to the effective one under the variance between loads, then the interval is
    Clopper's and Pearson's, so that a rate of 0 has an upper end too.

    Source: Korn, Graubard 1998, Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data, Survey Methodology 24.
    """
    from scipy import special

    total, loads = int(trials.sum()), len(trials)
    rate = float(events.sum() / total)
    effective = float(total)
    residual = events - rate * trials
    if loads > 1 and 0 < rate < 1:
        variance = loads / (loads - 1) * float((residual**2).sum()) / total**2
        spread = special.ndtri(1 - level / 2) / special.stdtrit(loads - 1, 1 - level / 2)
        if variance > rate * (1 - rate) / total:
            effective = max(1.0, rate * (1 - rate) / variance * spread**2)
    hits = rate * effective
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, effective - hits + 1, level / 2))
    high = 1.0 if hits == effective else float(special.betaincinv(hits + 1, effective - hits, 1 - level / 2))
    return rate, (low, high)
