"""Soft targets: the distillation of Hinton, Vinyals and Dean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.losses.base import Batch, Loss, Term

if TYPE_CHECKING:
    from torch import Tensor


class SoftTargets(Loss):
    """T² · KL(teacher at temperature T ‖ student at temperature T), the mean over the batch."""

    temperature: float | None = Field(
        None, gt=0, le=1000, allow_inf_nan=False, description="softens both networks' outputs; default: the section's"
    )

    def build(self, temperature: float) -> Term:
        own = self.temperature if self.temperature is not None else temperature

        def term(batch: Batch) -> Tensor:
            assert batch.teacher is not None  # only the teacher's own training has none, and it takes no `losses`
            return soft_target_loss(batch.student, batch.teacher, own)

        return term


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
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
