"""Refined logits: what a teacher that errs can still teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class Refined(SoftenedLoss):
    """alpha · SCD + beta · MCD, the mean over batch and teachers.

    SCD: the student is to be as sure of the right class as the teacher is of its first. MCD: the classes that the
    teacher ranks strictly below the right one, compared among themselves at `temperature`; 0 where fewer than two are,
    so that nothing is learned from what an erring teacher prefers.

    Customary: T 4 and weight 1 beside cross_entropy with weight 1.
    """

    alpha: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of the confidence (SCD)")
    beta: float = Field(8.0, ge=0, allow_inf_nan=False, description="factor of the classes below the right one (MCD)")
    confidence_temperature: float = Field(1.0, gt=0, le=1000, description="softens both networks for the confidence")

    def build(self, shapes: Shapes) -> Term:
        from edgekd.training.losses.distributions import need_three_classes

        need_three_classes(shapes.classes)
        temperature = self.softening()

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            now = temperature(lesson.progress)
            return lesson.batch.by_label(
                lambda labels: refined_losses(
                    student, teacher, labels, now, self.confidence_temperature, alpha=self.alpha, beta=self.beta
                )
            )

        return self.between(compare, temperature)


def refined_losses(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    temperature: float | Tensor,
    confidence_temperature: float = 1,
    *,
    alpha: float = 1,
    beta: float = 8,
) -> Tensor:
    """alpha · S² · KL(b_t ‖ b_s) + beta · T² · KL(p̂_t ‖ p̂_s) of each sample, (N,); logits (N, C), labels int64 (N,).

    At temperature S, b_t = (max p_t, 1 - max p_t) and b_s = (p_s[y], 1 - p_s[y]); p̂ is the softmax at temperature T
    over the classes c with t[c] < t[y].

    Source: Sun et al. 2024, Knowledge Distillation with Refined Logits, the section on the method.
    """
    from edgekd.training.losses.distributions import divergence, log_softmax_among, one_or_other

    sure = one_or_other(teacher / confidence_temperature, teacher.argmax(dim=1))
    confident = one_or_other(student / confidence_temperature, labels)
    below = teacher < teacher.gather(1, labels[:, None])
    confidence = confidence_temperature**2 * divergence(sure, confident)
    rest = divergence(log_softmax_among(teacher / temperature, below), log_softmax_among(student / temperature, below))
    return alpha * confidence + beta * temperature**2 * rest
