"""Whether two processors answer the same: kernels of other instruction sets round differently. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.records.release import Agreement, Flip

SHOWN = 20


def agreement(reference: str, expected: NDArray[np.float32], found: NDArray[np.float32]) -> Agreement:
    """What of the answers differs; expected, found: float32 (N, classes), of the same samples in the same order."""
    before, after = expected.argmax(axis=1), found.argmax(axis=1)
    ordered = np.sort(expected, axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    flipped = np.flatnonzero(before != after)
    widest = flipped[np.argsort(-margins[flipped], kind="stable")][:SHOWN]
    return Agreement(
        reference=reference,
        samples=len(expected),
        flipped=len(flipped),
        flips=tuple(
            Flip(sample=int(n), expected=int(before[n]), found=int(after[n]), margin=float(margins[n])) for n in widest
        ),
        largest_difference=float(np.abs(found - expected).max(initial=0.0)),
    )
