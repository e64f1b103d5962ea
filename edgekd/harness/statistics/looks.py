"""When to look at the data, and what each look may spend of the error that all of them share."""

from __future__ import annotations

from edgekd.records.latency import Speed

LOOKS = (0.1, 0.2, 0.35, 0.55, 0.75, 1.0)
"""Shares of the time budget at which the data is looked at, set before any is seen."""


def level_of_look(spent: float, before: float | None, alpha: float) -> float:
    """The error that a look may spend: an equal part of `alpha` for each planned look since the one before.

    `spent` and `before` are shares of the time budget (None: no look yet). The union bound makes all intervals
    together hold at 1 - alpha, however the looks depend on each other: exact for rank intervals, where the usual
    normal boundaries (O'Brien-Fleming, Pocock; Lan and DeMets 1983) are not, and only 4 % wider than Pocock's.
    """
    due = sum(1 for look in LOOKS if (before is None or look > before) and look <= spent + 1e-9)
    assert due > 0, "a look that is not due has nothing to spend"
    return alpha * due / len(LOOKS)


def next_look(spent: float) -> float:
    """The share of the budget at which the next look is due."""
    return next((look for look in LOOKS if look > spent + 1e-9), 1.0)


def outcome(interval: tuple[float, float] | None, margin: float) -> Speed:
    """What an interval of the ratio to the baseline (time over time) says.

    `same` goes first: a difference that is certain and smaller than the margin is no difference that matters.
    """
    if interval is None:
        return Speed.UNDECIDED
    low, high = interval
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return Speed.SAME
    if high < 1:
        return Speed.FASTER
    if low > 1:
        return Speed.SLOWER
    return Speed.UNDECIDED
