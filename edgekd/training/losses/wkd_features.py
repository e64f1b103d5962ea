"""Channel statistics as Gaussians, and the Wasserstein distance between them: WKD-F."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class WassersteinFeatures(FeatureLoss):
    """`mean_share` · |μ_s - μ_t|² + |σ_s - σ_t|², the mean over the batch.

    μ and σ are each channel's mean and standard deviation over the positions of one sample's map, the Gaussian with a
    diagonal covariance that its positions are taken for; squares are summed over channels, as in the paper. The
    student's map goes through a learned 1 x 1 convolution and batch norm to the teacher's channels; the two sizes may
    differ, for positions are not compared. The customary weight is 0.08 for the last map.

    Source: Lv, Yang and Li 2024, Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation,
    the section on WKD-F, with one grid cell. The authors' projector ends in a ReLU, which can only meet layers that end
    in one themselves; this one meets all.
    """

    mean_share: float = Field(4.0, ge=0, allow_inf_nan=False, description="factor of the means' part")

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.parts import need_maps
        from edgekd.training.losses.projectors import Fitted, pointwise

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - it reads no labels
            return wasserstein_feature_loss(student, teacher, self.mean_share)

        need_maps(student, teacher)
        return Fitted(pointwise(student[0], teacher[0]), compare)


def wasserstein_feature_loss(student: Tensor, teacher: Tensor, mean_share: float) -> Tensor:
    """mean_share · |μ_s - μ_t|² + |σ_s - σ_t|², the mean over the batch; student, teacher: maps (N, C, any H, any W).

    σ is √(variance + 1e-5), as the authors have it: the root has a gradient where a map is constant. The variance is
    divided by H·W, as in the paper; their code divides by H·W - 1, which is undefined for maps of 1 x 1.
    """

    def deviation(maps: Tensor) -> Tensor:
        return (maps.var(dim=(2, 3), correction=0) + 1e-5).sqrt()

    means = (student.mean(dim=(2, 3)) - teacher.mean(dim=(2, 3))).pow(2).sum(1)
    deviations = (deviation(student) - deviation(teacher)).pow(2).sum(1)
    return (mean_share * means + deviations).mean()
