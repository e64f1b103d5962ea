"""Probabilistic knowledge transfer: who would be picked as a neighbour of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-7
"""Added to a similarity, so that no probability is 0."""


class ProbabilisticTransfer(FeatureLoss):
    """KL divergence of the probabilities with which each layer takes a sample for another's neighbour.

    The customary weight is 30000, at batches of 64: the term falls as 1 / N, and a batch of one says nothing. It is
    meant for embeddings (D,); layers of another shape are flattened.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        return lambda student, teacher, _lesson: neighbour_loss(student, teacher)


def neighbour_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1/N² Σᵢⱼ pᵢⱼ(t) log (pᵢⱼ(t) / pᵢⱼ(s)), pᵢⱼ(f) = kᵢⱼ / Σⱼ kᵢⱼ, kᵢⱼ = (cos(fᵢ, fⱼ) + 1) / 2 + 1e-7.

    student, teacher: (N, ...), flattened.

    Source: Passalis and Tefas 2018, Learning Deep Representations with Probabilistic Knowledge Transfer, section 3
    with the cosine kernel. As in the authors' code a sample is its own neighbour too, and the mean is over all pairs.
    There 1e-7 is added to the probabilities within the logarithm, which are none then, so that the value may be
    negative; here it is added to k.
    """
    from torch.nn import functional

    mine, theirs = (_log_probabilities(each.flatten(1)) for each in (student, teacher))
    return functional.kl_div(mine, theirs, reduction="none", log_target=True).mean()


def _log_probabilities(vectors: Tensor) -> Tensor:
    """(N, D) to (N, N), each row a distribution."""
    from edgekd.training.losses.parts import directions

    unit = directions(vectors, 1)
    kernel = (unit @ unit.T + 1).div(2).clamp(min=0) + SMALLEST  # a rounded cosine may lie below -1
    return kernel.log() - kernel.sum(dim=1, keepdim=True).log()
