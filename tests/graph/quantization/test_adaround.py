from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from edgekd.graph.quantization.adaround import Moments, best_rounding, error_of, objective, patches
from edgekd.graph.runtime import run_onnx

from .conftest import save_graph


def problem(outputs: int, inputs: int, groups: int = 1, seed: int = 0) -> tuple[NDArray[np.float64], Moments]:
    """Weights in steps of their scale, and the moments of inputs that hang together."""
    rng = np.random.default_rng(seed)
    x = np.maximum(0, rng.normal(size=(groups, 400, inputs)) @ rng.normal(size=(groups, inputs, inputs)) + 1)
    z = x + 0.05 * rng.normal(size=x.shape)
    weights = rng.uniform(-8, 8, size=(groups, outputs, inputs))
    second, mixed = z.transpose(0, 2, 1) @ z / 400, x.transpose(0, 2, 1) @ z / 400
    return weights, Moments(second, mixed, x.mean(axis=1), z.mean(axis=1))


@pytest.mark.parametrize("progress", [-0.1, 0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_finite_differences(progress: float) -> None:
    weights, moments = problem(3, 5, groups=2)
    v = np.random.default_rng(1).normal(size=weights.shape)
    fixed = (np.floor(weights), weights @ moments.mixed, moments, 2.5, progress)
    _, slope = objective(v, *fixed)
    step = 1e-6
    for place in itertools.product(*map(range, v.shape)):
        moved = np.zeros_like(v)
        moved[place] = step
        difference = objective(v + moved, *fixed)[0] - objective(v - moved, *fixed)[0]
        assert slope[place] == pytest.approx(difference / (2 * step), rel=1e-4, abs=1e-4)


def test_it_comes_nearer_to_the_best_of_all_roundings_than_the_nearest_ones_are() -> None:
    missed, missed_by_nearest = [], []
    for seed in range(10):
        weights, moments = problem(1, 8, seed=seed)
        aim, low = weights @ moments.mixed, np.floor(weights)
        found = best_rounding(weights, moments, 127)
        assert set(np.unique(found - low)) <= {0.0, 1.0}
        every = (error_of(low + np.array(ups), aim, moments) for ups in itertools.product((0, 1), repeat=8))
        best = min(every)
        missed.append(error_of(found, aim, moments) - best)
        missed_by_nearest.append(error_of(np.rint(weights), aim, moments) - best)

    assert min(missed) >= -1e-9
    assert all(mine <= other for mine, other in zip(missed, missed_by_nearest, strict=True))
    assert sum(missed) < 0.4 * sum(missed_by_nearest)


def test_the_weights_that_the_scale_is_made_of_and_none_beyond_them() -> None:
    weights, moments = problem(4, 6)
    weights[0, 0, 0], weights[0, 1, 1] = 63.9999, -64
    found = best_rounding(weights, moments, 64)
    assert (found[0, 0, 0], found[0, 1, 1]) == (64, -64)
    assert np.abs(found).max() == 64


def test_the_moments_taken_around_the_means_are_covariances() -> None:
    x = np.random.default_rng(0).normal(size=(1, 300, 4)) + 2
    z = x**2
    second, mixed = z.transpose(0, 2, 1) @ z / 300, x.transpose(0, 2, 1) @ z / 300
    centred = Moments(second, mixed, x.mean(axis=1), z.mean(axis=1)).centred()
    np.testing.assert_allclose(centred.second[0], np.cov(z[0].T, bias=True), atol=1e-8)
    np.testing.assert_allclose(centred.mixed[0], np.cov(x[0].T, z[0].T, bias=True)[:4, 4:], atol=1e-8)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [1, 0, 2, 1]},
        {"strides": [2, 1], "pads": [1, 1, 1, 1]},
        {"dilations": [2, 1]},
        {"group": 2, "strides": [2, 2]},
        {"group": 4},
    ],
)
def test_a_convolution_is_a_product_with_what_each_place_of_its_kernel_reads(
    attributes: dict[str, Any], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    groups = attributes.get("group", 1)
    image = rng.normal(size=(3, 4, 7, 6)).astype(np.float32)
    weights = rng.normal(size=(8, 4 // groups, 3, 2)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["logits"], **attributes)
    save_graph(tmp_path / "m.onnx", [node], {"w": weights}, {"x": ("batch", 4, 7, 6)}, ("batch", 8, None, None))
    expected = run_onnx(tmp_path / "m.onnx", {"x": image})

    read = patches(image, node, (3, 2))
    product = weights.reshape(groups, 8 // groups, -1) @ read
    np.testing.assert_allclose(product.reshape(8, 3, *expected.shape[2:]).swapaxes(0, 1), expected, atol=1e-5)
