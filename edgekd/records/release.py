"""The gate's answer."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome


class Flip(Record):
    """A test sample that two targets answer differently, by class number; `margin` is how far the reference's best
    logit stands above its second."""

    sample: int
    expected: int
    found: int
    margin: float


class Agreement(Record):
    """The shipped model's answers on one target against those on the reference target, over all test samples.

    flips: of the `flipped` samples those with the widest margins, a rounding error being no excuse for them.
    largest_difference: of any logit.
    """

    reference: str
    samples: int
    flipped: int
    flips: tuple[Flip, ...]
    largest_difference: float


class ReleaseRecord(Record):
    """`checks` by target name; `verdict` is the worst of all. `agreements`: of each target with the first that
    ships the same file. `shipped`: by target the name of the candidate."""

    kept_as: ClassVar[str] = "release"

    verdict: Outcome
    targets: dict[str, Outcome]
    shipped: dict[str, str]
    checks: dict[str, tuple[Check, ...]]
    agreements: dict[str, Agreement] = {}
