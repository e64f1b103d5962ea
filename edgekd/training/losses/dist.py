"""DIST: the student's probabilities need only correlate with the teacher's, in each sample and in each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from edgekd.config.component import Component, Use
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import SoftenedLoss, Term

if TYPE_CHECKING:
    from torch import Tensor

PUBLISHED_TEMPERATURE: Any = 1.0  # validated, as what a file says is


class Correlation(SoftenedLoss):
    """T² · (beta · inter + gamma · intra), the mean over teachers; for a teacher that is much better than the student.

    inter: 1 - Pearson's correlation of both networks' probabilities over the classes, the mean over the samples; intra:
    the same over the samples of the batch, the mean over the classes. Of a batch of one sample intra is gamma, a
    constant. Customary: weight 1 beside cross_entropy with weight 1.
    """

    temperature: Annotated[Component, Use("temperatures")] | None = Field(
        PUBLISHED_TEMPERATURE,
        validate_default=True,
        description="softens both networks' outputs, as published and not as in the section; null: the section's",
    )
    beta: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of the relation between classes (inter)")
    gamma: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of the relation between samples (intra)")

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        temperature = self.softening()

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            now = temperature(lesson.progress)
            return correlation_loss(student, teacher, now, beta=self.beta, gamma=self.gamma)

        return self.between(compare, temperature)


def correlation_loss(
    student: Tensor, teacher: Tensor, temperature: float | Tensor, *, beta: float = 1, gamma: float = 1
) -> Tensor:
    """T² · (beta · d(p_s, p_t) + gamma · d(p_sᵀ, p_tᵀ)), p = softmax(z / T) and d the `row_distance`; logits (N, C).

    Source: Huang et al. 2022, Knowledge Distillation from A Stronger Teacher, section 4; T² is in the authors' code.
    """
    mine, theirs = (student / temperature).softmax(dim=1), (teacher / temperature).softmax(dim=1)
    inter, intra = row_distance(mine, theirs), row_distance(mine.T, theirs.T)
    return temperature**2 * (beta * inter + gamma * intra)


def row_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 - Pearson's correlation of each row of `one` with that of `other`, (M, K), the mean over the rows.

    A row that has one value throughout correlates with nothing: it counts 1, and nothing is learned from it. A batch of
    one sample makes every class such a row.

    The authors' code adds 1e-8 to the product of both lengths, so that a rare class, of probabilities about 1e-5,
    never correlates, not even with itself; here only rounding counts as one value.
    """
    return 1 - (_direction(one) * _direction(other)).sum(dim=1).mean()


def _direction(rows: Tensor) -> Tensor:
    """Each row without its mean, of length 1; of length 0 where what is left is rounding."""
    import torch

    numbers = torch.finfo(rows.dtype)
    centred = rows - rows.mean(dim=1, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    largest = rows.detach().abs().amax(dim=1, keepdim=True)
    # squares of less than the root of the smallest number are lost
    rounding = (rows.shape[1] * numbers.eps * largest).clamp_min(numbers.tiny**0.5)
    varies = length > rounding
    return torch.where(varies, centred, 0) / torch.where(varies, length, 1)
