"""What is wrong with the shape of a sample: two modes instead of one, a drift, a memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST_SAMPLE = 50_000  # evenly taken from more: enough to see a tenth of anything


def bimodality(samples: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """The two modes and the share of the slower one where a sample has two well apart, else None.

    The logarithms are split where the variance within both parts is smallest; two modes are two when each holds a
    tenth, their centres are more than 3 % and six robust deviations of the wider part apart.

    Source of the split: Otsu 1979, A threshold selection method from gray-level histograms.
    """
    logs = np.sort(np.log(samples[:: 1 + len(samples) // LARGEST_SAMPLE]))
    n = len(logs)
    if n < 50:
        return None
    counts = np.arange(1, n)
    sums = np.cumsum(logs)[:-1]
    between = (sums / counts - (logs.sum() - sums) / (n - counts)) ** 2 * counts * (n - counts)
    margin = max(1, n // 10)
    cut = margin + int(np.argmax(between[margin - 1 : n - margin]))
    fast, slow = logs[:cut], logs[cut:]
    centres = float(np.median(fast)), float(np.median(slow))
    widths = [1.4826 * float(np.median(np.abs(part - np.median(part)))) for part in (fast, slow)]
    gap = centres[1] - centres[0]
    if gap < max(0.03, 6 * max(widths)):
        return None
    return float(np.exp(centres[0])), float(np.exp(centres[1])), len(slow) / n


def drift(medians: NDArray[np.float64]) -> float | None:
    """The relative change over the whole series of load medians where it has a trend at 99.9 %, else None.

    Source: Mann-Kendall test for the trend, Theil-Sen slope for its size.
    """
    from scipy import special

    n = len(medians)
    if n < 8:
        return None
    earlier, later = np.triu_indices(n, 1)
    rises = np.log(medians[later] / medians[earlier])
    score = float(np.sign(rises).sum()) / np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    if 2 * special.ndtr(-abs(score)) > 0.001:
        return None
    return float(np.expm1(np.median(rises / (later - earlier)) * (n - 1)))
