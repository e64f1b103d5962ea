"""Which training samples are kept apart, and which keep their label: stratified by class, decided by the seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.data.samples import UNLABELLED
from edgekd.errors import ConfigError

TEST_SEED = 0  # fixed: the test samples are the same whatever the pipeline's seed


def stratified_split(
    labels: NDArray[np.int64], held_out: float | int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that stay and the rows held out, each ascending; every class is held out in its own proportion.

    labels: int64 (N,). held_out: a share (below 1) or a number of rows. Fractions of a row are rounded by
    largest remainder, so that the sum is exact; every class keeps at least one row on both sides.

    Raises:
        ConfigError: so many are to be held out, or so few are there, that a class would be missing on one side.
    """
    classes, counts = np.unique(labels, return_counts=True)
    wanted = round(held_out * len(labels)) if held_out < 1 else int(held_out)
    if wanted < len(classes) or wanted > len(labels) - len(classes) or counts.min() < 2:
        raise ConfigError(
            f"cannot set apart {wanted} of {len(labels)} samples: each of the {len(classes)} classes needs at least "
            f"one on both sides (the smallest has {counts.min()})",
            hint="give more samples, or another share",
        )
    generator = np.random.default_rng(seed)
    chosen = [
        generator.permutation(np.flatnonzero(labels == each))[:quota]
        for each, quota in zip(classes, _quotas(counts, wanted), strict=True)
    ]
    held = np.zeros(len(labels), dtype=bool)
    held[np.concatenate(chosen)] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def labelled_in_part(labels: NDArray[np.int64], labelled: float | int, seed: int) -> NDArray[np.int64]:
    """The labels with only so many of them left, the rest UNLABELLED; every class keeps its share, and at least one.

    labelled: a share (below 1) or a number; 0 is none at all.

    Raises:
        ConfigError: a class would keep none, or so many are to be kept that nothing is without a label.
    """
    left = np.full_like(labels, UNLABELLED)
    if labelled:
        _, chosen = stratified_split(labels, labelled, seed)
        left[chosen] = labels[chosen]
    return left


def _quotas(counts: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """How many of each class, in sum `wanted`; at least 1 and at most all but 1 of each."""
    exact = counts * (wanted / counts.sum())
    quotas: NDArray[np.int64] = np.clip(np.floor(exact).astype(np.int64), 1, counts - 1)
    while (missing := wanted - int(quotas.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_ones = quotas < counts - 1 if step > 0 else quotas > 1
        urgency = np.where(open_ones, step * (exact - quotas), -np.inf)
        quotas[int(urgency.argmax())] += step
    return quotas
