"""Simulated measurements whose true percentiles are known: float64 (runs, loads, samples)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Simulation = Callable[[np.random.Generator, int, int, int], NDArray[np.float64]]


def independent(rng: np.random.Generator, runs: int, loads: int, samples: int) -> NDArray[np.float64]:
    return np.exp(0.05 * rng.standard_normal((runs, loads, samples)))


def autocorrelated(rng: np.random.Generator, runs: int, loads: int, samples: int) -> NDArray[np.float64]:
    noise = rng.standard_normal((runs, loads, samples))
    for position in range(1, samples):
        noise[..., position] = 0.8 * noise[..., position - 1] + 0.6 * noise[..., position]
    return np.exp(0.05 * noise)


def heavy_tailed(rng: np.random.Generator, runs: int, loads: int, samples: int) -> NDArray[np.float64]:
    return 1 + 0.02 * np.abs(rng.standard_t(2, (runs, loads, samples)))


def bimodal(rng: np.random.Generator, runs: int, loads: int, samples: int) -> NDArray[np.float64]:
    slow = rng.random((runs, loads, samples)) < 0.25
    return np.where(slow, 1.3, 1.0) * np.exp(0.01 * rng.standard_normal((runs, loads, samples)))


def by_load(effect: Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]) -> Simulation:
    def simulate(rng: np.random.Generator, runs: int, loads: int, samples: int) -> NDArray[np.float64]:
        within = 0.02 * rng.standard_normal((runs, loads, samples))
        return np.exp(within + effect(rng, (runs, loads, 1)))

    return simulate


def normal_loads(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return 0.01 * rng.standard_normal(shape)


def heavy_loads(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return 0.006 * rng.standard_t(2, shape)


def odd_loads(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Seen on real machines: one load in 48 is 7 % slower as long as it lives."""
    return 0.005 * rng.standard_normal(shape) + 0.07 * (rng.random(shape) < 1 / 48)


def two_loads(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Half of the loads are 3 % slower."""
    return np.where(rng.random(shape) < 0.5, 0.0, 0.03) + 0.002 * rng.standard_normal(shape)


EFFECTS = {"normal": normal_loads, "heavy-tailed": heavy_loads, "odd": odd_loads, "two kinds of": two_loads}
SIMULATIONS: dict[str, Simulation] = {
    "independent": independent,
    "autocorrelated": autocorrelated,
    "heavy-tailed": heavy_tailed,
    "bimodal": bimodal,
    **{f"{name} loads": by_load(effect) for name, effect in EFFECTS.items()},
}
