"""Whether two processors, or two levels of optimisation, answer the same: other kernels round differently. Pure."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgekd.records.release import Agreement, Flip

SHOWN = 20


def agreement(
    reference: str,
    expected: NDArray[np.float32],
    found: NDArray[np.float32],
    models: tuple[str, str] | None = None,
) -> Agreement:
    """What of the answers differs; expected, found: float32 (N, classes), of the same samples in the same order.
    models: which files gave them, where these are two."""
    before, after = expected.argmax(axis=1), found.argmax(axis=1)
    margins, found_margins = _margins(expected), _margins(found)
    flipped = np.flatnonzero(before != after)
    widest = flipped[np.argsort(-margins[flipped], kind="stable")][:SHOWN]
    return Agreement(
        reference=reference,
        samples=len(expected),
        flipped=len(flipped),
        flips=tuple(
            Flip(
                sample=int(n),
                expected=int(before[n]),
                found=int(after[n]),
                margin=float(margins[n]),
                found_margin=float(found_margins[n]),
            )
            for n in widest
        ),
        largest_difference=float(np.abs(found - expected).max(initial=0.0)),
        models=models,
    )


def _margins(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each sample, how far its largest logit stands above the second one."""
    ordered = np.sort(logits, axis=1)
    return cast("NDArray[np.float32]", ordered[:, -1] - ordered[:, -2])
