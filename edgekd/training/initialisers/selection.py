"""Which units of a network are worth the most, in an order of which the first so many are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from edgekd.training.initialisers.units import Dim, Followed

Order = Mapping[int, Tensor]
"""Of each set of units all their numbers, the most valuable first."""

Choice = Callable[[nn.Module, Followed, int], Order]
"""The network, its units and the seed, to the order."""


def by_norm(network: nn.Module, followed: Followed, seed: int) -> Order:  # noqa: ARG001 - as all choices
    return _descending(_incoming(_weights(network), followed))


def by_product(network: nn.Module, followed: Followed, seed: int) -> Order:  # noqa: ARG001 - as all choices
    weights, outgoing = _weights(network), _none(followed)
    for name in followed.readers:
        _add(outgoing, weights[name].double().square().transpose(0, 1).flatten(1).sum(1), followed, name, 1)
    return _descending({root: each * outgoing[root] for root, each in _incoming(weights, followed).items()})


def first(network: nn.Module, followed: Followed, seed: int) -> Order:  # noqa: ARG001 - as all choices
    return {root: torch.arange(followed.units.size(root)) for root in followed.units.roots()}


def at_random(network: nn.Module, followed: Followed, seed: int) -> Order:  # noqa: ARG001 - as all choices
    generator = torch.Generator().manual_seed(seed)
    return {root: torch.randperm(followed.units.size(root), generator=generator) for root in followed.units.roots()}


CHOICES: Mapping[str, Choice] = {"norm": by_norm, "product": by_product, "first": first, "random": at_random}


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """With those that are fixed and in no checkpoint."""
    found = [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]
    return {name: each.detach() for name, each in found}


def _incoming(weights: Mapping[str, Tensor], followed: Followed) -> dict[int, Tensor]:
    """Of each unit the L2 norm of its incoming weights times |gain of its batch norm|, summed over the layers that
    make it: with a residual addition several do."""
    total = _none(followed)
    for name, gain in followed.producers.items():
        squares = weights[name].double().square().flatten(1).sum(1)
        if gain is not None:
            squares = squares * weights[gain].double().square()
        _add(total, squares, followed, name, 0)
    return total


def _none(followed: Followed) -> dict[int, Tensor]:
    units = followed.units
    return {root: torch.zeros(units.size(root), dtype=torch.float64) for root in units.roots()}


def _add(total: dict[int, Tensor], squares: Tensor, followed: Followed, name: str, place: int) -> None:
    """squares: of each entry of that dimension; the entries of one unit count together."""
    dim: Dim = followed.dims[name][place]
    sizes = [size * repeat for size, repeat in followed.units.arrangement(dim)]
    for part, mine in zip(dim, torch.split(squares, sizes), strict=True):
        root = followed.units.root(part.units)
        total[root] = total[root] + mine.reshape(-1, part.repeat).sum(1).sqrt()


def _descending(scores: Mapping[int, Tensor]) -> Order:
    return {root: score.argsort(descending=True, stable=True) for root, score in scores.items()}
