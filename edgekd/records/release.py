"""The gate's answer."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome


class Flip(Record):
    """A test image that two targets answer differently, by class number; `margin` is how far the reference's best
    logit stands above its second."""

    image: int
    expected: int
    found: int
    margin: float


class Agreement(Record):
    """The shipped model's answers on one target against those on the reference target, over all test images.

    flips: of the `flipped` images those with the widest margins, a rounding error being no excuse for them.
    largest_difference: of any logit.
    """

    reference: str
    images: int
    flipped: int
    flips: tuple[Flip, ...]
    largest_difference: float


class ReleaseRecord(Record):
    """`checks` by target name; `verdict` is the worst of all. `agreements`: of each target with the first."""

    verdict: Outcome
    targets: dict[str, Outcome]
    checks: dict[str, tuple[Check, ...]]
    agreements: dict[str, Agreement] = {}
