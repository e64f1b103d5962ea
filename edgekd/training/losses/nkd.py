"""NKD: the right class by the teacher's probability, and the wrong ones with their sum made equal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from edgekd.config.component import Component, Use
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_TEMPERATURE: Any = 1.0  # validated, as what a file says is


class Normalised(SoftenedLoss):
    """-p_t[y] · log p_s[y] - gamma · T² · Σ p̂_t · log p̂_s, the mean over batch and teachers; p̂ without the class y.

    Only p̂ is softened. It consists of cross-entropies, so that it is not 0 where both networks agree. Customary: weight
    1 beside cross_entropy with weight 1.
    """

    temperature: Annotated[Component, Use("temperatures")] | None = Field(
        PUBLISHED_TEMPERATURE,
        validate_default=True,
        description="softens the wrong classes, as published and not as in the section; null: the section's",
    )
    gamma: float = Field(1.5, ge=0, allow_inf_nan=False, description="factor of the wrong classes")

    def build(self, shapes: Shapes) -> Term:
        from edgekd.training.losses.distributions import need_three_classes

        need_three_classes(shapes.classes)
        temperature = self.softening()

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            now = temperature(lesson.progress)
            return lesson.batch.by_label(lambda labels: normalised_losses(student, teacher, labels, now, self.gamma))

        return self.between(compare, temperature)


def normalised_losses(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float | Tensor, gamma: float = 1.5
) -> Tensor:
    """-p_t[y] · log p_s[y] - gamma · T² · Σ p̂_t · log p̂_s of each sample, (N,); logits (N, C), labels int64 (N,).

    p = softmax(z), and p̂ = softmax(z / T) over the classes without y.

    Source: Yang et al. 2023, From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
    Normalized Loss and Customized Soft Labels, section 3.
    """
    from edgekd.training.losses.distributions import all_but, log_softmax_among

    own = labels[:, None]
    others = all_but(student, labels)
    right = teacher.softmax(dim=1).gather(1, own) * student.log_softmax(dim=1).gather(1, own)
    soft = log_softmax_among(teacher / temperature, others).exp() * log_softmax_among(student / temperature, others)
    return -right.squeeze(1) - gamma * temperature**2 * soft.sum(dim=1)
