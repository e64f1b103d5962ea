"""Neuron selectivity transfer: the student's channels are spread over patterns as the teacher's are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class NeuronSelectivity(FeatureLoss):
    """Squared maximum mean discrepancy of the two layers' channels, polynomial kernel; of maps (C, H, W).

    The customary weight is 50.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.parts import need_maps

        need_maps(student, teacher)
        return lambda student, teacher, _lesson: selectivity_loss(student, teacher)


def selectivity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over the batch of mean k(t, t) + mean k(s, s) - 2 mean k(s, t), k(x, y) = (x·y)² over pairs of channels.

    student, teacher: (N, C, H, W), where C may differ; each channel is a vector (H W) of length 1. Where sizes differ,
    the larger maps are averaged to the smaller size. Memory is N C² numbers; published code takes N C² H W.

    Source: Huang and Wang 2017, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, section 4,
    the polynomial kernel with d = 2 and c = 0; the factor λ / 2 is the weight's.
    """
    from edgekd.training.losses.parts import directions, same_size

    mine, theirs = (directions(maps.flatten(2), 2) for maps in same_size(student, teacher))
    return _kernel(theirs, theirs) + _kernel(mine, mine) - 2 * _kernel(mine, theirs)


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    """Mean of k over all pairs of channels of a sample, and over samples; left, right: (N, C, H W)."""
    return (left @ right.transpose(1, 2)).square().mean()
