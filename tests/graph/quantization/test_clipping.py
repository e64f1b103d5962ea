from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekd.graph.quantization.clipping import (
    Grid,
    Range,
    divergence,
    entropy_range,
    mse_range,
    percentile_range,
    squared_error,
    usual,
)
from edgekd.graph.quantization.histogram import BINS, Histogram, Seen

rng = np.random.default_rng(0)
VALUES: dict[str, NDArray[np.float32]] = {
    name: values.astype(np.float32)
    for name, values in {
        "after a ReLU": np.maximum(rng.normal(size=20_000), 0),
        "both signs": rng.laplace(size=20_000),
        "skewed": np.concatenate([-rng.exponential(0.1, 10_000), rng.exponential(1, 10_000)]),
        "all far from 0": rng.uniform(3, 4, 20_000),
        "all negative": rng.uniform(-4, -3, 20_000),
        "outlier": np.append(rng.normal(size=20_000), 20.0),
    }.items()
}


def histogram_of(values: NDArray[np.float32]) -> Histogram:
    histogram = Histogram(Seen.of(values))
    histogram.add(values)
    return histogram


def quantized(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float64]:
    """As QuantizeLinear and DequantizeLinear do it, with ONNX Runtime's scale and zero point."""
    scale = (high - low) / 255
    zero_point = np.round(-low / scale)
    found: NDArray[np.float64] = (np.clip(np.rint(values / scale) + zero_point, 0, 255) - zero_point) * scale
    return found


def error_of(values: NDArray[np.float32], low: float, high: float) -> float:
    return float(np.mean((values - quantized(values, low, high)) ** 2))


@pytest.mark.parametrize("name", VALUES)
def test_every_value_is_counted_in_the_bin_that_is_centred_nearest_to_it(name: str) -> None:
    values, histogram = VALUES[name], histogram_of(VALUES[name])

    assert histogram.counts.sum() == len(values)
    assert len(histogram.counts) == BINS
    expected = np.zeros(BINS, np.int64)
    for value in values.astype(np.float64):
        expected[int(np.abs(histogram.centres - value).argmin())] += 1
    # float32 arithmetic may put what lies on an edge into the bin beside it
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 3
    assert histogram.counts[histogram.zero] >= (values == 0).sum()


def test_values_that_come_in_parts_are_counted_as_together() -> None:
    values = VALUES["skewed"]
    histogram = Histogram(Seen.of(values[:900]) | Seen.of(values[900:]))
    for part in (values[:7].reshape(1, 7), values[7:900], values[900:]):
        histogram.add(part)

    assert histogram.counts.tolist() == histogram_of(values).counts.tolist()


@pytest.mark.parametrize("percent", [90, 99, 99.9, 99.999])
@pytest.mark.parametrize("name", VALUES)
def test_the_percentile_is_exact_to_a_bin(name: str, percent: float) -> None:
    values, histogram = VALUES[name], histogram_of(VALUES[name])
    low, high = percentile_range(histogram, percent)
    outside = int(len(values) * (100 - Fraction(str(percent))) / 200)
    ordered = np.sort(values)

    assert low == pytest.approx(min(0, ordered[outside]), abs=histogram.width)
    assert high == pytest.approx(max(0, ordered[len(values) - 1 - outside]), abs=histogram.width)
    assert np.mean((values >= low) & (values <= high)) >= percent / 100 - 1e-12


@pytest.mark.parametrize("name", VALUES)
def test_the_squared_error_of_the_histogram_is_that_of_the_values(name: str) -> None:
    values, histogram = VALUES[name], histogram_of(VALUES[name])

    for share in (1.0, 0.7, 0.3):
        low, high = share * histogram.lowest, share * histogram.highest
        assert squared_error(histogram, Grid.of(low, high)) == pytest.approx(error_of(values, low, high), rel=0.02)


@pytest.mark.parametrize("name", VALUES)
def test_no_range_has_a_smaller_squared_error(name: str) -> None:
    values, histogram = VALUES[name], histogram_of(VALUES[name])
    shares = np.linspace(0.05, 1, 39)
    lows = shares * histogram.lowest if histogram.lowest else [0.0]
    highs = shares * histogram.highest if histogram.highest else [0.0]
    least = min(error_of(values, low, high) for low, high in itertools.product(lows, highs))

    assert error_of(values, *mse_range(histogram)) <= 1.01 * least


def test_the_divergence_is_that_of_the_definition() -> None:
    values = np.append(VALUES["skewed"], np.full(3_000, 0.7, np.float32))
    histogram = histogram_of(values)
    grid = Grid.of(-0.5, 3.0)
    counts = {place: int(count) for place, count in enumerate(histogram.counts) if place != histogram.zero}
    level = {place: round(histogram.centres[place] / grid.scale) + grid.zero_point for place in counts}
    inside = [place for place in counts if 0 <= level[place] <= 255]
    most = usual(histogram)
    seen = {place: min(counts[place], most[place]) for place in inside}
    before = dict(seen)
    before[inside[0]] += sum(counts[place] for place in counts if level[place] < 0)
    before[inside[-1]] += sum(counts[place] for place in counts if level[place] > 255)
    held = [place for place in inside if before[place]]
    after = {}
    assert any(counts[place] > most[place] for place in inside)
    for place in held:
        same = [other for other in held if level[other] == level[place]]
        after[place] = sum(seen[other] for other in same) / len(same) or 1e-4
    p, q = sum(before.values()), sum(after.values())
    plain = sum(before[place] / p * math.log(before[place] / p / (after[place] / q)) for place in held)
    levels = len({level[place] for place in held})

    assert divergence(histogram, grid, most) == pytest.approx(plain - (len(held) - levels) / 2 / p)


def test_entropy_clips_a_tail_and_not_what_chance_left_out() -> None:
    few, many = (histogram_of(rng.normal(size=size).clip(-3, 3).astype(np.float32)) for size in (3_000, 300_000))

    assert entropy_range(few) == pytest.approx(entropy_range(many), rel=0.1)
    assert entropy_range(histogram_of(np.append(rng.normal(size=200_000), 20.0).astype(np.float32)))[1] < 10


def test_entropy_is_not_led_by_values_that_many_places_share() -> None:
    # what the background of an image becomes
    smooth = np.abs(rng.normal(size=100_000))
    points = np.repeat(rng.uniform(0, 1, 20), 10_000)
    found = entropy_range(histogram_of(np.concatenate([smooth, points]).astype(np.float32)))

    assert found[1] > 0.8 * smooth.max()


@pytest.mark.parametrize("choose", [mse_range, entropy_range, lambda each: percentile_range(each, 99.9)])
@pytest.mark.parametrize("name", VALUES)
def test_a_range_holds_zero_and_nothing_that_was_not_seen(name: str, choose: object) -> None:
    histogram = histogram_of(VALUES[name])
    assert callable(choose)
    low, high = choose(histogram)

    assert histogram.lowest <= low <= 0 <= high <= histogram.highest
    assert low < high
    if VALUES[name].min() >= 0:
        assert low == 0  # all 256 levels are above


@pytest.mark.parametrize("choose", [mse_range, entropy_range, lambda each: percentile_range(each, 99.9)])
def test_what_is_always_0_has_a_range_of_nothing(choose: object) -> None:
    assert callable(choose)
    found: Range = choose(histogram_of(np.zeros(100, np.float32)))

    assert found == (0, 0)
