"""Decoupled distillation: how sure the right class is, and what the wrong ones are like, weighted apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class Decoupled(SoftenedLoss):
    """T² · (alpha · TCKD + beta · NCKD), the mean over batch and teachers.

    TCKD is the divergence of right class or any other, NCKD that of the other classes among themselves. In kd, NCKD
    counts only by the probability that the teacher gives to the others, so little where it is sure.

    Customary: T 4, weight 1 beside cross_entropy with weight 1, the published training raises it over 20 epochs.
    """

    alpha: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of the right class against the others")
    beta: float = Field(
        8.0, ge=0, allow_inf_nan=False, description="factor of the other classes; published from 2 to 8, by pair"
    )

    def build(self, shapes: Shapes) -> Term:
        from edgekd.training.losses.distributions import need_three_classes

        need_three_classes(shapes.classes)
        temperature = self.softening()

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            now = temperature(lesson.progress)
            return lesson.batch.by_label(
                lambda labels: decoupled_losses(student, teacher, labels, now, alpha=self.alpha, beta=self.beta)
            )

        return self.between(compare, temperature)


def decoupled_losses(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float | Tensor, *, alpha: float = 1, beta: float = 8
) -> Tensor:
    """T² · (alpha · KL(b_t ‖ b_s) + beta · KL(p̂_t ‖ p̂_s)) of each sample, (N,); logits (N, C), labels int64 (N,).

    At temperature T, b = (p[y], 1 - p[y]) and p̂ = softmax over the classes without y.

    Source: Zhao et al. 2022, Decoupled Knowledge Distillation, section 3. The authors' code takes the logarithm of
    probabilities and leaves y out by subtracting 1000 from its logit, which gives inf or NaN where logits are large;
    this stays in log space.
    """
    from edgekd.training.losses.distributions import all_but, divergence, log_softmax_among, one_or_other

    mine, theirs = student / temperature, teacher / temperature
    others = all_but(mine, labels)
    right = divergence(one_or_other(theirs, labels), one_or_other(mine, labels))
    wrong = divergence(log_softmax_among(theirs, others), log_softmax_among(mine, others))
    return temperature**2 * (alpha * right + beta * wrong)
