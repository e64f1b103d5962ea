"""The gate's answer."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome


class Flip(Record):
    """A sample that is answered differently, by class number; `margin` is how far the reference's best logit stands
    above its second, `found_margin` the same of the other one's, None in records of before it was kept."""

    sample: int
    expected: int
    found: int
    margin: float
    found_margin: float | None = None


class Agreement(Record):
    """The shipped model's answers on one target, or under one level of optimisation, against those on the reference.

    flips: of the `flipped` samples those with the widest margins, a rounding error being no excuse for them.
    largest_difference: of any logit. models: the names of the reference's file and of the one held against it, where
    these are two.
    """

    reference: str
    samples: int
    flipped: int
    flips: tuple[Flip, ...]
    largest_difference: float
    models: tuple[str, str] | None = None


class ReleaseRecord(Record):
    """`checks` by target name; `verdict` is the worst of all. `shipped`: by target the name of the candidate.

    agreements: over all test samples, of each target with the first that ships the same file, or with the first of
    all where none does. levers: by target, what would change checks that did not pass, a sentence each.
    """

    kept_as: ClassVar[str] = "release"

    verdict: Outcome
    targets: dict[str, Outcome]
    shipped: dict[str, str]
    checks: dict[str, tuple[Check, ...]]
    agreements: dict[str, Agreement] = {}
    levers: dict[str, tuple[str, ...]] = {}
