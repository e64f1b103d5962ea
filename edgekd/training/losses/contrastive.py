"""Which of the teacher's embeddings is this sample's: contrast within a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Compare, FeatureLoss

if TYPE_CHECKING:
    from torch import Tensor


class Contrastive(FeatureLoss):
    """InfoNCE: the student's embedding must find the teacher's embedding of the same sample among those of the batch.

    -log(exp(sᵢ·tᵢ / T) / Σⱼ exp(sᵢ·tⱼ / T)), the mean over the batch; s is the student's layer through a learned linear
    layer, t the teacher's layer, both of length 1; maps are averaged over space. A customary weight is 1. It reads no
    labels, so other samples of the same class are told apart too; a second view of the same sample (`second_view`) is
    not. Batches of 64 and more make it worth something: of N samples it can teach no more than log N, and of one
    nothing, with the value 0.

    Source: van den Oord, Li and Vinyals 2018, Representation Learning with Contrastive Predictive Coding, equation 4,
    with a cosine in the place of the bilinear score.
    """

    temperature: float = Field(
        0.1, gt=0, le=100, allow_inf_nan=False, description="divides the cosines; the lower, the more the nearest count"
    )

    def comparing(self, student: tuple[int, ...], teacher: tuple[int, ...], shapes: Shapes) -> Compare:  # noqa: ARG002
        from edgekd.training.losses.parts import embedded, embedded_size
        from edgekd.training.losses.projectors import Embedding, Fitted

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            strangers = lesson.batch.strangers(student.device)
            return contrastive_loss(student, embedded(teacher), self.temperature, strangers)

        return Fitted(Embedding(embedded_size(student), embedded_size(teacher)), compare)


def contrastive_loss(student: Tensor, teacher: Tensor, temperature: float, strangers: Tensor | None = None) -> Tensor:
    """The mean over i of -log softmaxⱼ(cos(sᵢ, tⱼ) / T) at j = i; student, teacher: embeddings (N, D).

    strangers: bool (N, N), which j beside i itself are in the softmax of i; by default all.
    """
    import math

    import torch
    from torch.nn import functional

    from edgekd.training.losses.parts import directions

    scores = directions(student, 1) @ directions(teacher, 1).T / temperature
    if strangers is not None:
        itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(~(strangers | itself), -math.inf)
    return -functional.log_softmax(scores, dim=1).diagonal().mean()
