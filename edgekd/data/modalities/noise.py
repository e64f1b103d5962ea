"""Normal noise for a whole batch at once, from one number for each sample."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.data.tensors import moved

PLACES = 2**20
"""In how many places the noise of a sample can begin."""


def noise_like(samples: Tensor, numbers: NDArray[np.float64]) -> Tensor:
    """A standard normal number for each value: float32, in the samples' shape (N, ...); numbers: (N,) in [0, 1).

    A sample takes a stretch of one long pool of noise, from a place of its own. Two stretches may overlap, but the
    same value of two samples gets the same noise in one case of PLACES only.
    Source: Salimans et al. 2017, Evolution Strategies as a Scalable Alternative to Reinforcement Learning, section
    2.1, shares a table of noise so.
    """
    values = samples[0].numel()
    stretches = _pool(values, samples.device).unfold(0, values, 1)
    return stretches[moved(np.floor(numbers * PLACES).astype(np.int64), samples.device)].reshape(samples.shape)


@functools.lru_cache(maxsize=4)
def _pool(values: int, device: torch.device) -> Tensor:
    """Standard normal numbers, float32 (PLACES + values,)."""
    return moved(np.random.default_rng(0).standard_normal(PLACES + values, np.float32), device)
