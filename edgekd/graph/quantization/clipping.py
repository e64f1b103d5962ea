"""The range of an activation, from the distribution of its values: what lies outside is clipped.

8-bit activations have 256 levels, whether they are called uint8 or int8, and a zero point that may be any of them: a
range [low, high] that holds 0 gives the scale (high - low) / 255, and after a ReLU all levels from 0 to `high`. So
nothing here depends on the type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from edgekd.graph.quantization.histogram import BINS, Histogram

STEPS = 255
NARROWEST = STEPS / BINS  # of what was seen: in a narrower range a level has no bin of its own
COARSE, FINE = 0.96, 0.995  # how much narrower each next range is that is tried
ROUNDS = 4
MOST = 4
NEVER = 1e-4  # of a value: what a level that has none counts as, for a logarithm must exist

Range = tuple[float, float]
Cost = Callable[[Histogram, "Grid"], float]


@dataclass(frozen=True)
class Grid:
    """The levels (q - zero_point) · scale for q = 0 ... 255, as the quantizer sets them for a range that holds 0."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, low: float, high: float) -> Grid:
        scale = (high - low) / STEPS
        return cls(scale, round(-low / scale))

    @property
    def low(self) -> float:
        return -self.zero_point * self.scale

    @property
    def high(self) -> float:
        return (STEPS - self.zero_point) * self.scale


def percentile_range(histogram: Histogram, percent: float) -> Range:
    """The range that holds `percent` of all values, zeros included, half of the others on each side; exact to a bin."""
    reached = np.cumsum(histogram.counts)
    outside = int(round(reached[-1] * (100 - percent) / 200, 6))  # 10 of 20,000 beyond 99.9 %, and not 9.99...
    first = int(np.searchsorted(reached, outside, side="right"))
    last = int(np.searchsorted(reached, reached[-1] - outside))
    edges = histogram.edges
    return (
        min(0.0, max(histogram.lowest, float(edges[first]))),
        max(0.0, min(histogram.highest, float(edges[last + 1]))),
    )


def mse_range(histogram: Histogram) -> Range:
    """The range with the least squared error of quantization.

    Source: Nagel et al. 2021, A White Paper on Neural Network Quantization, section 3.1; Banner et al. 2019, Post
    Training 4-bit Quantization of Convolutional Networks for Rapid-Deployment, section 2 (rounding and clipping noise).
    """
    return _least(histogram, squared_error)


def entropy_range(histogram: Histogram) -> Range:
    """The range with the least divergence of the values' distribution from that of the quantized ones.

    Source: Migacz 2017, 8-bit Inference with TensorRT.
    """
    most = usual(histogram)
    return _least(histogram, lambda each, grid: divergence(each, grid, most))


def squared_error(histogram: Histogram, grid: Grid) -> float:
    """The mean of (x - Q(x))² over all values, Q the quantization on the grid.

    Inside a bin values count as evenly spread, so that each contributes the integral of the squared error over the
    bin, and not only the error of its middle, which would be no measure where bins are not much narrower than levels.
    The bin of 0 has no error: 0 is a level.
    """
    edges = histogram.edges
    clipped = np.clip(edges, grid.low, grid.high)
    level = np.rint(clipped / grid.scale)
    # ∫ (t - Q(t))² dt from 0: scale³ / 12 for each level passed, the piece to the next, and what is beyond the range
    off, beyond = clipped - level * grid.scale, edges - clipped
    integral = level * (grid.scale**3 / 12) + (off * off * off + beyond * beyond * beyond) / 3
    errors = np.diff(integral) / histogram.width
    errors[histogram.zero] = 0
    return float(histogram.counts @ errors) / int(histogram.counts.sum())


def divergence(histogram: Histogram, grid: Grid, most: NDArray[np.float64]) -> float:
    """Kullback-Leibler divergence Σ p log(p / q) of the distributions before (p) and after (q) quantization.

    p has what lies outside of the range in its outermost bins. q is what the levels know of the values inside: the
    count of each, spread over those of its bins that hold any. Zeros are left out of both, for they stay exact, and so
    is what a bin inside has beyond `most`, a few times the median of those around it (see `usual`): the values that a
    network gives wherever an image has its background are points, of which a level loses nothing, and would count as
    lost. What two samples of one distribution differ by is taken off, (bins - levels) / 2 values: it favours narrow
    ranges, whose levels join fewer bins.

    Source: Migacz 2017; Miller 1955, Note on the Bias of Information Estimates.
    """
    level = np.rint(histogram.centres / grid.scale).astype(np.int64) + grid.zero_point
    first, last = np.searchsorted(level, [0, STEPS + 1])
    counts = histogram.counts.astype(np.float64)
    counts[histogram.zero] = 0
    inside, level = np.minimum(counts, most)[first:last], level[first:last]
    p = inside.copy()
    p[0] += counts[:first].sum()
    p[-1] += counts[last:].sum()
    held = p > 0
    bins = np.bincount(level[held], minlength=STEPS + 1)
    q = (np.bincount(level, inside, minlength=STEPS + 1) / np.maximum(bins, 1))[level[held]]
    q = np.where(q > 0, q, NEVER)
    p = p[held]
    by_chance = (len(p) - np.count_nonzero(bins)) / 2
    return float(np.sum(p * np.log(p / p.sum() / (q / q.sum()))) - by_chance) / float(p.sum())


def usual(histogram: Histogram) -> NDArray[np.float64]:
    """How much of each bin the divergence counts at most, from those around it: float64 (BINS,)."""
    counts = histogram.counts.astype(np.float64)
    around: NDArray[np.float64] = median_filter(counts, size=BINS // (STEPS + 1) + 1, mode="nearest")
    return MOST * (around + np.float64(1))


def _least(histogram: Histogram, cost: Cost) -> Range:
    """The range of the least cost: both ends drawn in together, then one after the other until neither helps."""
    low, high = histogram.lowest, histogram.highest
    if int(histogram.counts.sum()) == int(histogram.counts[histogram.zero]):
        return low, high
    whole = np.concatenate([[1.0], COARSE ** np.arange(1, int(np.log(NARROWEST) / np.log(COARSE)) + 1)])
    nearby = FINE ** np.arange(-9, 10)  # a little more than to the next coarse one, on each side

    def best(ranges: list[Range]) -> Range:
        fitting = [each for each in ranges if _fits(histogram, *each)]
        return min(fitting, key=lambda each: cost(histogram, Grid.of(*each)))

    found = best([(share * low, share * high) for share in whole])
    for shares, ends in ((whole, (low, high)), (nearby, None)):
        for _ in range(ROUNDS):
            before = found
            around = ends or found
            found = best([found, *((share * around[0], found[1]) for share in shares)])
            found = best([found, *((found[0], share * around[1]) for share in shares)])
            if found == before:
                break
    return found


def _fits(histogram: Histogram, low: float, high: float) -> bool:
    """Whether the range lies in what was seen, and each of its levels has a bin."""
    return histogram.lowest <= low <= 0 <= high <= histogram.highest and high - low >= STEPS * histogram.width
