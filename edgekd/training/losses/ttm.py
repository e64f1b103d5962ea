"""Transformed teacher matching: only the teacher is softened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import ResponseLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class TransformedTeacher(ResponseLoss):
    """KL(teacher at temperature 1 / gamma ‖ student at temperature 1), the mean over batch and teachers.

    Without a temperature the student is drawn to unsure answers too. `weighted` (WTTM) counts each sample by
    Σ p_t^gamma, from 1 where the teacher is sure to C^(1 - gamma) where it is not.

    Customary: gamma 0.1 with weight about 45 for `weighted`, beside cross_entropy with weight 1; it differs by pair.
    """

    gamma: float = Field(0.1, gt=0, le=1, description="power of the teacher's probabilities, 1 / its temperature")
    weighted: bool = Field(False, description="count samples more where the teacher is unsure (WTTM)")

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - as all compare
            return transformed_teacher_loss(student, teacher, self.gamma, weighted=self.weighted)

        return self.between(compare)


def transformed_teacher_loss(student: Tensor, teacher: Tensor, gamma: float = 0.1, *, weighted: bool = False) -> Tensor:
    """KL(p_t^gamma / Σ p_t^gamma ‖ p_s), the mean over the batch; `weighted`: times Σ p_t^gamma. Logits (N, C).

    There is no factor 1 / gamma²: the student's side has no temperature whose gradient it would make up for.

    Source: Zheng and Yang 2024, Knowledge Distillation Based on Transformed Teacher Matching, sections 3 and 4.
    """
    from edgekd.training.losses.distributions import divergence

    powers = gamma * teacher.log_softmax(dim=1)
    values = divergence(powers.log_softmax(dim=1), student.log_softmax(dim=1))
    if weighted:
        values = values * powers.logsumexp(dim=1).exp()
    return values.mean()
