"""Similarity preserving: samples that are alike to the teacher are alike to the student."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class SimilarityPreserving(FeatureLoss):
    """Mean squared difference of the two layers' similarities of each sample to each; of layers of any shape.

    The customary weight is 3000, at batches of 64: the term falls as 1 / N, and a batch of one says nothing.
    """

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        return lambda student, teacher, _lesson: similarity_loss(student, teacher)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """1/N² ‖G(s) - G(t)‖², G(f) = F Fᵀ with each row of length 1, F = f as (N, D); student, teacher: (N, ...).

    Source: Tung and Mori 2019, Similarity-Preserving Knowledge Distillation, equations 1-3.
    """
    from torch.nn import functional

    from edgekd.training.losses.parts import directions

    mine, theirs = (directions(each @ each.T, 1) for each in (student.flatten(1), teacher.flatten(1)))
    return functional.mse_loss(mine, theirs)
