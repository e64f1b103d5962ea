"""Attention transfer: the student looks where the teacher looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class AttentionTransfer(FeatureLoss):
    """Mean squared difference of the two layers' attention maps, each of length 1; of maps (C, H, W).

    The customary weight is 1000.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.parts import need_maps

        need_maps(student, teacher)
        return lambda student, teacher, _lesson: attention_loss(student, teacher)


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """mean (a(s) / ‖a(s)‖ - a(t) / ‖a(t)‖)², a(f) = mean over channels of f²; student, teacher: (N, C, H, W).

    C may differ. Where sizes do, the larger attention map is averaged to the smaller size, as the paper would have
    it; later published code averages the features before it squares them, where values of opposite sign cancel.

    Source: Zagoruyko and Komodakis 2017, Paying More Attention to Attention, section 3.1, equation 2 with p = 2. There
    it is the norm of the difference; here, as in the authors' code, the mean of its squares.
    """
    from torch.nn import functional

    from edgekd.training.losses.parts import directions, same_size

    mine, theirs = same_size(*(maps.square().mean(dim=1, keepdim=True) for maps in (student, teacher)))
    return functional.mse_loss(directions(mine.flatten(1), 1), directions(theirs.flatten(1), 1))
