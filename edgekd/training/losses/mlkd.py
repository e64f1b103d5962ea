"""Multi-level logit distillation: answers at several temperatures, and how classes and samples relate in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import ResponseLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class MultiLevelLogits(ResponseLoss):
    """Soft targets, class relations and sample relations, each summed over several temperatures.

    The customary weight is 1. The paper shows each image in a weak and a strong augmentation in the same step: that is
    `augment` and `second_view`. As there, each view has relations of its own. The paper adds what both views are worth,
    in cross-entropy too; here every term is the mean over both, half of that. With `standardise` all three parts see
    standardised logits.

    Source: Jin, Wang and Lin 2023, Multi-Level Logit Distillation, section 3.
    """

    temperatures: tuple[Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)], ...] = Field(
        (2.0, 3.0, 4.0, 5.0, 6.0), min_length=1, description="the temperatures, whose terms are added"
    )
    unsure: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of the samples, those of which the teacher is least sure, and of the classes, those that it "
        "expects least, that count; 1: all",
    )
    class_weight: float = Field(
        4096.0,
        ge=0,
        allow_inf_nan=False,
        description="factor of the relations between classes: the paper's, in batches of 64",
    )
    sample_weight: float = Field(
        64.0,
        ge=0,
        allow_inf_nan=False,
        description="factor of the relations between samples: the paper's, in batches of 64",
    )

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        import torch

        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
            looks = lesson.batch.looks
            values = [
                multi_level_loss(
                    student[look::looks],
                    teacher[look::looks],
                    self.temperatures,
                    unsure=self.unsure,
                    class_weight=self.class_weight,
                    sample_weight=self.sample_weight,
                )
                for look in range(looks)
            ]
            return torch.stack(values).mean()

        return self.between(compare)


def multi_level_loss(
    student: Tensor,
    teacher: Tensor,
    temperatures: Sequence[float],
    *,
    unsure: float = 0.5,
    class_weight: float = 4096.0,
    sample_weight: float = 64.0,
) -> Tensor:
    """The sum over temperatures T, with P = softmax(z / T), of
    Σ_i m_i T² KL(P_t[i] ‖ P_s[i]) / N + class_weight · Σ_cd m_d (P_tᵀP_t / N - P_sᵀP_s / N)²_cd / C
    + sample_weight · Σ_ij m_j (P_tP_tᵀ - P_sP_sᵀ)²_ij / N²; student, teacher: logits (N, C).

    m is 1 for samples of which the teacher's largest probability is not above the quantile `unsure` of the batch, and
    for classes whose expected number is not; else 0. The published code multiplies by m what is an average already, so
    that it acts as a constant of about 0.5; here it chooses, as was meant (`reduce=False` is commented out there).

    The paper divides the squares by C and by N alone, so that in a batch twice as large they weigh 4 and 2 times as
    much. Here a batch's size changes nothing, and the factors are those of the paper's batch of 64: 64² and 64.
    """
    from torch.nn import functional

    count, classes = teacher.shape
    probabilities = functional.softmax(teacher, dim=1)
    samples = _lower(probabilities.amax(dim=1), unsure)
    expected = _lower(probabilities.sum(dim=0), unsure)
    total = student.new_zeros(())
    for temperature in temperatures:
        log_student = functional.log_softmax(student / temperature, dim=1)
        log_teacher = functional.log_softmax(teacher / temperature, dim=1)
        divergence = functional.kl_div(log_student, log_teacher, reduction="none", log_target=True).sum(dim=1)
        mine, theirs = log_student.exp(), log_teacher.exp()
        between_classes = expected * (theirs.T @ theirs - mine.T @ mine).div(count).square()
        between_samples = samples * (theirs @ theirs.T - mine @ mine.T).square()
        total = (
            total
            + (samples * divergence).mean() * temperature**2
            + class_weight * between_classes.sum() / classes
            + sample_weight * between_samples.mean()
        )
    return total


def _lower(values: Tensor, share: float) -> Tensor:
    """1 where a value is not above this quantile of all, else 0."""
    return (values <= values.quantile(share)).to(values.dtype)
