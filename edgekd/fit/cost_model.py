"""What an inference costs, from the operators of a network alone: fitted on what was measured.

Source: the cost is a sum over operators of (a constant for each) + (so much for each multiply-accumulate, for each
number read and written, ...), all coefficients at least 0, fitted by the least squares of relative errors:
min_b Σ_i (x_i · b / y_i - 1)², b >= 0. Lawson and Hanson 1974, Solving Least Squares Problems, chapter 23 (NNLS).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekd.fit.shape import Network, Operation

BLOCKS = (8, 16)
"""Channels that runtimes compute at once: what does not fill them is computed all the same, or costs a change of
layout."""
FEW_CHANNELS = 4  # a convolution that reads fewer is another kernel: it reads the image in the plain layout
FOLDS = 10
Costs = Sequence[float] | NDArray[np.float64]
"""In seconds or instructions, all above 0."""


def features(network: Network) -> dict[str, float]:
    """The amounts that cost something, by operator."""
    found = {"inference": 1.0}
    for each in network.operations:
        kind = f"first {each.kind}" if each.macs and each.inputs < FEW_CHANNELS else each.kind
        for amount, value in _amounts(each).items():
            found[f"{kind}: {amount}"] = found.get(f"{kind}: {amount}", 0.0) + value
    return {name: value for name, value in found.items() if value}


def _amounts(each: Operation) -> dict[str, float]:
    amounts: dict[str, float] = {"operators": 1, "numbers read": each.taken, "numbers written": each.given}
    if not each.macs:
        return amounts
    widest = BLOCKS[-1]
    amounts |= {
        "multiply-adds": each.macs,
        "weights": each.weights,
        # what is gathered for one output channel, in how many pieces, and the rows of outputs of one block of them
        "multiply-adds a channel": each.macs / each.outputs,
        "places read": each.macs / each.outputs / (1 if each.kind == "depthwise" else each.inputs),
        "blocks written": each.places * _blocks(each.outputs, widest),
    }
    for block in BLOCKS:
        filled = each.macs / each.outputs * block * _blocks(each.outputs, block)
        if each.kind != "depthwise":
            filled *= block * _blocks(each.inputs, block) / each.inputs
        amounts[f"multiply-adds in blocks of {block}"] = filled
        if each.outputs % block:
            amounts |= {f"not written in blocks of {block}": 1, f"numbers not written in blocks of {block}": each.given}
        if each.inputs % block:
            amounts |= {f"not read in blocks of {block}": 1, f"numbers not read in blocks of {block}": each.taken}
    return amounts


def _blocks(channels: int, block: int) -> int:
    return -(-channels // block)


@dataclass(frozen=True)
class CostModel:
    """coefficients: the cost of one unit of each feature; those that cost nothing are left out."""

    coefficients: Mapping[str, float]

    def __call__(self, network: Network) -> float:
        found = features(network)
        return sum(found.get(name, 0.0) * each for name, each in self.coefficients.items())


def fitted(networks: Sequence[Network], costs: Costs) -> CostModel:
    """The model of these costs, of one network at least."""
    names, amounts = _matrix(networks)
    found = _coefficients(amounts, np.asarray(costs, np.float64))
    return CostModel({name: float(each) for name, each in zip(names, found, strict=True) if each > 0})


def foretold(networks: Sequence[Network], costs: Costs, seed: int) -> NDArray[np.float64]:
    """What a model says of each network that was fitted on others alone, nine tenths of them; empty with fewer than two
    a fold."""
    if len(networks) < 2 * FOLDS:
        return np.zeros(0)
    _, amounts = _matrix(networks)
    known = np.asarray(costs, np.float64)
    order = np.random.default_rng(seed).permutation(len(known))
    told = np.zeros(len(known))
    for fold in range(FOLDS):
        asked = order[fold::FOLDS]
        others = np.setdiff1d(order, asked)
        told[asked] = amounts[asked] @ _coefficients(amounts[others], known[others])
    return told


def _matrix(networks: Sequence[Network]) -> tuple[list[str], NDArray[np.float64]]:
    each = [features(network) for network in networks]
    names = sorted(set().union(*each))
    return names, np.array([[found.get(name, 0.0) for name in names] for found in each])


def _coefficients(amounts: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import nnls

    scale = amounts.max(axis=0)
    scale[scale == 0] = 1
    found, _ = nnls(amounts / scale / costs[:, None], np.ones(len(costs)), maxiter=100 * amounts.shape[1])
    return np.asarray(found / scale)
