"""Normalised logits: every sample has the temperature that its own logits ask for, in each network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import ResponseLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class NormalisedTemperature(ResponseLoss):
    """T_t² · KL(teacher at T_t ‖ student at T_s), the mean over batch and teachers; T is `deviations` · std(logits).

    It is kd with `standardise` and the temperature `deviations`, but each sample counts by the variance of the
    teacher's logits. Customary: weight 0.9 beside cross_entropy with weight 0.1.
    """

    deviations: float = Field(
        2.0, gt=0, le=1000, description="temperature, in standard deviations of the sample's logits over the classes"
    )

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - as all compare
            return normalised_temperature_loss(student, teacher, self.deviations)

        return self.between(compare)


def normalised_temperature_loss(student: Tensor, teacher: Tensor, deviations: float = 2) -> Tensor:
    """T_t² · KL(softmax(t / T_t) ‖ softmax(s / T_s)), the mean over the batch; logits (N, C).

    T_t = `deviations` · std(t) and T_s = `deviations` · std(s), of each sample, with C - 1 as the divisor; the gradient
    goes through T_s, as in the authors' code. A teacher that says the same of all classes counts nothing.

    Source: Chi et al. 2023, NormKD: Normalized Logits for Knowledge Distillation.
    """
    from edgekd.training.losses.distributions import divergence
    from edgekd.training.losses.parts import standardised

    mine, theirs = ((standardised(each) / deviations).log_softmax(dim=1) for each in (student, teacher))
    return ((deviations * teacher.std(dim=1)).square() * divergence(theirs, mine)).mean()
