"""One requirement and what was observed of it."""

from __future__ import annotations

from enum import StrEnum

from edgekd.records.base import Record


class Outcome(StrEnum):
    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    UNDECIDED = "undecided"


class Check(Record):
    name: str
    limit: float
    observed: float | None
    interval: tuple[float, float] | None
    outcome: Outcome
    why: str


def verdict(checks: tuple[Check, ...]) -> Outcome:
    """The worst outcome: one failure fails, else one undecided check leaves all undecided."""
    outcomes = {check.outcome for check in checks}
    for worst in (Outcome.FAIL, Outcome.UNDECIDED):
        if worst in outcomes:
            return worst
    return Outcome.PASS
