"""Relational distillation: the student's samples lie to each other as the teacher's do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class Relational(FeatureLoss):
    """Smooth L1 between the two layers' distances of all pairs of samples, or angles of all triples.

    Customary weights are 25 for distances and 50 for angles, as two terms of one objective. It is meant for embeddings
    (D,); layers of another shape are flattened, and angles then take much memory: N² (D + N) numbers for each network.
    """

    relation: Literal["distance", "angle"] = Field(
        "distance", description="what is compared: distances of two samples, or the angles of three"
    )

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        value = distance_loss if self.relation == "distance" else angle_loss
        return lambda student, teacher, _lesson: value(student, teacher)


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all N² pairs of smooth L1 of d(s) - d(t), d(f)ᵢⱼ = ‖fᵢ - fⱼ‖ / mean of those that are positive.

    student, teacher: (N, ...), flattened. Where all samples are alike, and in a batch of one, each distance is 0.
    Distances come from differences, not from fᵢ·fⱼ as in published code, which in float32 puts samples apart that are
    the same. On a GPU, their gradient takes N² D numbers.

    Source: Park et al. 2019, Relational Knowledge Distillation, section 3.2.1; the mean instead of the sum, as in the
    authors' code.
    """
    from torch.nn import functional

    return functional.smooth_l1_loss(_distances(student.flatten(1)), _distances(teacher.flatten(1)))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean over all N³ triples of smooth L1 of a(s) - a(t), a(f)ᵢⱼₖ = cosine of the angle at fᵢ from fⱼ to fₖ.

    student, teacher: (N, ...), flattened. A cosine is 0 where two of the samples are alike and no angle is there.

    Source: Park et al. 2019, Relational Knowledge Distillation, section 3.2.2; the mean instead of the sum, as in the
    authors' code.
    """
    from torch.nn import functional

    return functional.smooth_l1_loss(_cosines(student.flatten(1)), _cosines(teacher.flatten(1)))


def _distances(vectors: Tensor) -> Tensor:
    """(N, D) to (N, N); a distance of 0 passes no gradient."""
    import torch

    apart = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    mean = apart.sum() / (apart > 0).sum().clamp(min=1)
    return apart / torch.where(mean > 0, mean, math.inf)


def _cosines(vectors: Tensor) -> Tensor:
    """(N, D) to (N, N, N)."""
    from edgekd.training.losses.parts import directions

    ways = directions(vectors.unsqueeze(0) - vectors.unsqueeze(1), 2)
    return ways @ ways.transpose(1, 2)
