"""Whether an exported file computes what the torch module did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import StageError
from edgekd.records.model import Parity

RELATIVE_TOLERANCE = 1e-3  # of the logits' range; a different order of float32 sums stays near 1e-6 of it


def check_parity(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> Parity:
    """How far `actual` is from `expected`, both logits: float32 (N, C) of the same samples.

    Raises:
        StageError: not the same shape, not finite, or a difference above the tolerance.
    """
    if expected.shape != actual.shape:
        raise StageError(f"the exported model gives logits of shape {actual.shape}, the torch model {expected.shape}")
    for whose, logits in (("torch", expected), ("exported", actual)):
        broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
        if len(broken):
            raise StageError(
                f"the {whose} model's logits are not finite for {len(broken)} of {len(logits)} samples, "
                f"the first of them sample {broken[0]}",
                hint="a training that diverged leaves such weights",
            )
    difference = np.abs(expected - actual).max(axis=1)
    flipped = int(np.count_nonzero(expected.argmax(axis=1) != actual.argmax(axis=1)))
    worst = int(difference.argmax())
    tolerance = RELATIVE_TOLERANCE * float(np.ptp(expected))
    if difference[worst] > tolerance:
        raise StageError(
            f"the exported model differs from the torch model by {difference[worst]:.3g} on sample {worst} "
            f"(allowed {tolerance:.3g}); {flipped} of {len(difference)} predictions flip",
            hint="a layer that behaves differently in training mode, or that keeps state, is the usual cause",
        )
    return Parity(samples=len(difference), max_abs_difference=float(difference[worst]), flipped=flipped)
