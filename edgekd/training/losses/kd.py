"""Soft targets: the distillation of Hinton, Vinyals and Dean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class SoftTargets(SoftenedLoss):
    """T² · KL(teacher at temperature T ‖ student at temperature T), the mean over batch and teachers.

    The mean over teachers has the gradient of one teacher that gives the mean of their softened probabilities.
    """

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        temperature = self.softening()

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            return soft_target_loss(student, teacher, temperature(lesson.progress))

        return self.between(compare, temperature)


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float | Tensor) -> Tensor:
    """T² · KL(softmax(t / T) ‖ softmax(s / T)), the mean over the batch; student, teacher: logits (N, C).

    The factor T² keeps the gradient's size while T changes, so that `weight` means the same at each T. Both sides
    stay in log space: at logits of ±500 the logarithm of a softmax would be -inf.

    Source: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2.1, equations 2-4.
    """
    from torch.nn import functional

    soft_student = functional.log_softmax(student / temperature, dim=1)
    soft_teacher = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(soft_student, soft_teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2
