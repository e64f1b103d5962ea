"""Hints: a layer of the student learns to predict a layer of the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class FitNet(FeatureLoss):
    """Mean squared error between the student's layer, through a learned projector, and the teacher's.

    The customary weight is 100. Several teachers have a projector each; the term is their mean.

    Source: Romero et al. 2015, FitNets: Hints for Thin Deep Nets, equation 3. There it is half the squared norm of
    the difference; here, as in later comparisons of methods, the mean over all elements, so that `weight` means the
    same for a large layer and a small one.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from torch.nn import functional

        from edgekd.training.losses.parts import same_size
        from edgekd.training.losses.projectors import Fitted, projector

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - it reads no labels
            maps = student.ndim == 4
            return functional.mse_loss(*(same_size(student, teacher) if maps else (student, teacher)))

        return Fitted(projector(student, teacher), compare)
