"""A few samples that stand for all: as many of each class as of any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_rows(labels: NDArray[np.int64], number: int, seed: int) -> NDArray[np.int64]:
    """At most `number` rows, ascending, drawn by the seed without repetition.

    Classes give equally many, to within one, but for those that have no more; rows without a label are drawn once
    those that have one are used up.

    labels: int64 (N,), indices into the class names, or UNLABELLED (negative).
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)  # of a row within its class, in the order drawn
    for each in np.unique(labels):
        members = order[labels[order] == each]
        turn[members] = np.arange(len(members))
    tie = generator.permutation(len(labels))  # which classes give one more
    chosen = np.lexsort((tie, turn, labels < 0))[:number]
    return np.sort(chosen)
