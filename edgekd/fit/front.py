"""Which of several are best where more than one thing counts. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from edgekd.records.study import Finalist


def undominated(costs: Sequence[Sequence[float]]) -> list[int]:
    """The places of those than which no other is as low in everything and lower in something: the Pareto front.

    costs: (N, K), each to be low. Equal ones stay together.
    """

    def beaten(own: Sequence[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, own, strict=True)) and any(a < b for a, b in zip(other, own, strict=True))
            for other in costs
        )

    return [place for place, own in enumerate(costs) if not beaten(own)]


def layers(costs: Sequence[Sequence[float]]) -> Iterator[list[int]]:
    """The front, then the front of what is left, until nothing is.

    Source: Goldberg 1989, Genetic Algorithms, page 201, nondominated sorting.
    """
    left = list(range(len(costs)))
    while left:
        best = [left[place] for place in undominated([costs[each] for each in left])]
        yield best
        left = [each for each in left if each not in best]


def front_of(finalists: Sequence[Finalist]) -> set[int]:
    """The shapes on the front of accuracy, cost and bytes on every target, of those within the budget."""
    fit = [each for each in finalists if not each.unfit]
    return {fit[place].shape for place in undominated([_costs(each) for each in fit])}


def taken(finalists: Sequence[Finalist]) -> tuple[Finalist, str] | None:
    """The finalist to take, and why: of those that are within the budget and not surely less accurate than the best of
    them on any target (the 95 % interval of the difference on the same validation samples holds zero), the fastest;
    of equal ones the smallest. None if none is within the budget.

    Fast is what has the least product of costs over all targets, so that no unit counts more than another.
    """
    fit = [each for each in finalists if not each.unfit]
    if not fit:
        return None
    best = max(fit, key=lambda each: each.accuracy)
    alike = [each for each in fit if each is best or _as_accurate(each)]
    winner = min(alike, key=lambda each: (speed(each), _bytes(each), -each.accuracy))
    if winner is best:
        return winner, "the most accurate" + (" and the fastest of those alike" if len(alike) > 1 else "")
    return winner, f"the fastest of {len(alike)} between which {_samples(best):,} validation samples show no difference"


def speed(finalist: Finalist) -> float:
    """The sum of the logarithms of its costs on all targets where they are known: low is fast."""
    return sum(math.log(each.cost) for each in finalist.files.values() if each.cost)


def most_accurate(finalists: Sequence[Finalist]) -> Finalist | None:
    """Whom the others are held against: the most accurate within the budget, or of all where none is."""
    fit = [each for each in finalists if not each.unfit] or [each for each in finalists if each.files]
    return max(fit, key=lambda each: each.accuracy, default=None)


def _as_accurate(finalist: Finalist) -> bool:
    pairs: Mapping[str, object] = finalist.against_best
    return bool(pairs) and all(each.verdict != "worse" for each in finalist.against_best.values())


def _costs(finalist: Finalist) -> list[float]:
    return [
        each
        for file in finalist.files.values()
        for each in (-file.accuracy, 0.0 if file.cost is None else file.cost, float(file.size_bytes))
    ]


def _bytes(finalist: Finalist) -> int:
    return sum(each.size_bytes for each in finalist.files.values())


def _samples(finalist: Finalist) -> int:
    return min(each.samples for each in finalist.files.values())
