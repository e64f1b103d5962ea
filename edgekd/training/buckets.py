"""Batches of samples that are about as long as each other: a batch takes the time of its longest sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW = 32
"""Batches within which samples are sorted by their length; the more, the less chance there is in who meets whom."""


def by_length(
    order: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The rows of `order`, whole batches of them, so that those of a batch are about as long, and batches of all
    lengths come in any order.

    lengths: int64, of every row.

    Source: the bucketing of Khomenko et al. 2016, Accelerating Recurrent Neural Network Training Using Sequence
    Bucketing, within windows.
    """
    size = WINDOW * batch_size
    windows = [order[start : start + size] for start in range(0, len(order), size)]
    batches = np.concatenate([each[np.argsort(lengths[each], kind="stable")] for each in windows])
    return generator.permutation(batches.reshape(-1, batch_size)).reshape(-1)
