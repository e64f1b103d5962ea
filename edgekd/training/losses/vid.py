"""Variational information distillation: the student's layer tells as much as it can of the teacher's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class VariationalInformation(FeatureLoss):
    """How surprising the teacher's layer is under a Gaussian of learned mean and variance; of maps or vectors.

    The mean is a learned function of the student's layer, the variance is learned for each channel. Layers are two of
    maps (C, H, W), the larger averaged to the smaller size, or two of vectors (D,). The customary weight is 1. The term
    may be negative: where the mean is exact, it is log(σ²) / 2.
    """

    initial_variance: float = Field(
        5.0, ge=0.001, le=1000, description="of each channel at the start; near the square of the teacher's values"
    )

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.variational import Variational

        return Variational(student, teacher, self.initial_variance)


def surprise(mean: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
    """mean over all elements of ½ ((t - μ)² / σ² + log σ²); mean, teacher: (N, C, ...), variance: (C,), positive.

    Source: Ahn et al. 2019, Variational Information Distillation for Knowledge Transfer, section 2, without
    the constant; the mean instead of the sum, as in the authors' code.
    """
    spread = variance.reshape(-1, *[1] * (teacher.ndim - 2))
    return 0.5 * ((teacher - mean).square() / spread + spread.log()).mean()
