"""Which priced shapes are worth a training, and in which order. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.fit.front import layers
from edgekd.records.pricing import Priced


def capacity(shape: Priced) -> float:
    """A guess at how accurate a shape gets, before it is trained: the logarithm of the geometric mean of its parameters
    and its multiply-accumulates. How good the guess was is in the study (`foretold`)."""
    return (math.log(max(1, shape.parameters)) + math.log(max(1, shape.macs))) / 2


def entrants(shapes: Sequence[Priced], seed: int) -> list[Priced]:
    """Those within every target's budget, in the order in which they are trained: as many as there is time for, from
    the front.

    First those than which no other has more capacity and costs no more, then those of the next front, and so on
    (`layers`); within a front the one with most capacity first, and then always the one that is farthest from all
    before it in capacity and costs, so that every beginning of the list is spread over the front; a distance counts the
    more, the more capacity a shape has, for a small one is rarely as accurate as a larger one within the same budget.
    seed: decides between equals.
    """
    fit = [each for each in shapes if not each.unfit]
    if not fit:
        return []
    order = np.random.default_rng(seed).permutation(len(fit))
    fit = [fit[place] for place in order]
    places = np.array([[-capacity(each), *_costs(each)] for each in fit])
    spread = places.max(axis=0) - places.min(axis=0)
    places = (places - places.min(axis=0)) / np.where(spread > 0, spread, 1.0)
    chosen: list[int] = []
    for front in layers(places.tolist()):
        chosen += _farthest(places, front, chosen)
    return [fit[place] for place in chosen]


def _farthest(places: NDArray[np.float64], front: Sequence[int], before: Sequence[int]) -> list[int]:
    """The front in the order of farthest-point sampling, distances times capacity.

    places: (N, K) in 0..1, the lack of capacity first. Source: Gonzalez 1985, Theoretical Computer Science 38.
    """
    left, found = list(front), list[int]()
    while left:
        known = [*before, *found]
        if known:
            gaps = np.linalg.norm(places[left][:, None] - places[known][None], axis=2).min(axis=1)
            pick = left[int(np.argmax(gaps * (1 - places[left][:, 0])))]
        else:
            pick = min(left, key=lambda each: places[each][0])
        found.append(pick)
        left.remove(pick)
    return found


def _costs(shape: Priced) -> list[float]:
    """Of its cheapest file on each target: the logarithms of its cost, where it is known, and of its bytes."""
    found = []
    for target in shape.files:
        best = shape.best(target)
        assert best is not None, "a shape that is fit has a fitting file everywhere"
        found += [math.log(best.cost) if best.cost else 0.0, math.log(best.size_bytes)]
    return found
