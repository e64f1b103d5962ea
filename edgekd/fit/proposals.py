"""Which shapes to measure next, and which to measure once more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.config.fit import Budget
from edgekd.fit.budget import unfit
from edgekd.fit.expected import TOLERANCE, Expected
from edgekd.fit.shape import Network
from edgekd.fit.tried import Tried

FAR = 2.0  # times the budget: what costs more need not be measured


def next_shapes(
    networks: Sequence[Network], expected: Sequence[Expected], count: int, generator: np.random.Generator
) -> list[int]:
    """The numbers of those to measure next. Half are of the first fronts of cost, multiply-accumulates and parameters
    among those within the budget; half are drawn of those not far from it, so that the models learn of others too."""
    costs = np.array([max((each.relative(network) for each in expected), default=0.0) for network in networks])
    limit = 1.0 if any(each.limit is not None for each in expected) else np.inf
    within = np.flatnonzero((costs <= TOLERANCE * limit) & np.isfinite(costs))
    best = within[_best(costs[within], [networks[int(number)] for number in within], count // 2)]
    others = np.setdiff1d(np.flatnonzero((costs <= FAR * limit) & np.isfinite(costs)), best)
    drawn = generator.permutation(others)[: count - len(best)]
    return [int(each) for each in (*best, *drawn)]


def close_shapes(tried: Sequence[Tried], budget: Budget, most: int) -> list[Tried]:
    """Those whose price decides what is trained, which more measuring would tell better: those that are over the budget
    by no more than their interval, then the first fronts of cost, multiply-accumulates and parameters within it."""
    marginal = [each for each in tried if _marginal(each, budget)]
    within = [each for each in tried if not unfit(each.priced(budget))]
    costs = np.array([_cost(each, budget) for each in within])
    best = _best(costs, [each.network for each in within], most)
    return [*marginal, *(within[number] for number in best)][:most]


def _best(costs: NDArray[np.float64], networks: Sequence[Network], count: int) -> NDArray[np.int64]:
    """The numbers of so many of the first fronts; of the last one that has room, those with the most parameters."""
    goods = np.array(
        [[-cost, each.macs, each.parameters] for cost, each in zip(costs, networks, strict=True)], np.float64
    ).reshape(-1, 3)
    return np.lexsort((-goods[:, 2], fronts(goods)))[:count]


def _marginal(each: Tried, budget: Budget) -> bool:
    for target, files in each.priced(budget).items():
        limit = budget.on(target).p50_ms
        if not files or not all(file.unfit for file in files):
            continue
        if limit is None or not any(file.interval_s and file.interval_s[0] * 1e3 <= limit for file in files):
            return False
    return bool(unfit(each.priced(budget)))


def _cost(each: Tried, budget: Budget) -> float:
    """Its cheapest file's within the budget, on the target where that is largest; seconds and instructions in one
    number, good for an order alone."""
    costs = [
        min(float(file.cost or 0.0) for file in files if not file.unfit)
        for files in each.priced(budget).values()
        if files
    ]
    return max(costs, default=0.0)


def fronts(goods: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each row (N, K), of which more is better, the number of its front: 0 for those that no other one is as good as
    in everything and better in something, 1 for those of which this holds without these, and so on."""
    found = np.full(len(goods), -1)
    number = 0
    while (found < 0).any():
        left = np.flatnonzero(found < 0)
        rows = goods[left]
        as_good = np.all(rows[None] >= rows[:, None], axis=2)
        better = np.any(rows[None] > rows[:, None], axis=2)
        found[left[~np.any(as_good & better, axis=1)]] = number
        number += 1
    return found
