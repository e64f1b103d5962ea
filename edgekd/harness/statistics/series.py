"""What a series in time order gives away: how much it repeats itself, when it became steady, whether it drifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def autocorrelation(series: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """The autocorrelation at lags 1 to `lags`, all 0 for a constant series."""
    centred = np.asarray(series, np.float64) - np.mean(series)
    n = len(centred)
    lags = min(lags, n - 1)
    size = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariance = np.fft.irfft(spectrum * np.conj(spectrum), size)[: lags + 1]
    if covariance[0] <= 0:
        return np.zeros(lags)
    return np.asarray(covariance[1:] / covariance[0], np.float64)


def effective_count(series: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    """How many independent values carry as much as this series does: n / (1 + 2 Σ ρ), at least 1, at most n.

    Source: Geyer 1992, Practical Markov Chain Monte Carlo, §3.3 (initial positive sequence: lags in pairs until
    the sum of a pair is no longer positive).
    """
    values = np.asarray(series, np.float64)
    n = len(values)
    if n < 4:
        return float(n)
    correlations = autocorrelation(values, min(n // 2, 2000))
    pairs = correlations[: len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    pairs = pairs[: ends[0]] if len(ends) else pairs
    return float(np.clip(n / (1 + 2 * pairs.sum()), 1, n))


def warmup_blocks(medians: NDArray[np.float64]) -> int:
    """How many blocks at the start of a load are not yet steady, at most half of them.

    Steady is what the second half does: its median, give or take four robust standard deviations and at least
    2 %. The warm-up is the run of leading blocks outside that band.
    """
    half = len(medians) // 2
    if half < 3:
        return 0
    late = medians[half:]
    centre = float(np.median(late))
    spread = 1.4826 * float(np.median(np.abs(late - centre)))
    band = max(4 * spread, 0.02 * centre)
    inside = np.flatnonzero(np.abs(medians[:half] - centre) <= band)
    return int(inside[0]) if len(inside) else half
