"""Hard targets: the class that the teacher names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import TaughtLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class PseudoLabels(TaughtLoss):
    """Cross-entropy of the student with the class that the teacher finds most probable, where it is sure enough.

    The customary weight is 1 (alone, or on unlabelled samples), 0.5 beside 0.5 of cross-entropy; the customary
    threshold for a teacher that errs is 0.95.

    Source: Lee 2013, Pseudo-Label, equation 15; the threshold: Sohn et al. 2020, FixMatch, equation 4; without one, it
    is the hard distillation of Touvron et al. 2021, Training data-efficient image transformers, equation 3.
    """

    threshold: float = Field(
        0.0, ge=0, lt=1, description="the teacher's largest probability from which a sample counts; 0: all do"
    )

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        import torch

        def term(lesson: Lesson) -> Tensor:
            student = lesson.student.logits
            values = [
                pseudo_label_loss(student, answers.logits, self.threshold) for answers in self.heard(lesson).values()
            ]
            return torch.stack(values).mean()

        return term


def pseudo_label_loss(student: Tensor, teacher: Tensor, threshold: float = 0.0) -> Tensor:
    """Σ [max p_t ≥ threshold] · -log p_s[argmax p_t] / N; student, teacher: logits (N, C).

    Divided by the batch size and not by the number of those that count, as in FixMatch: so a sample weighs the same
    whichever others are in its batch, one sure sample among many unsure ones does not move the student as a whole
    batch would, and a batch without any is worth 0.
    """
    from torch.nn import functional

    probability, label = functional.softmax(teacher, dim=1).max(dim=1)
    return ((probability >= threshold) * functional.cross_entropy(student, label, reduction="none")).mean()
