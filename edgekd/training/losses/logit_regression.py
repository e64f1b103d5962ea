"""Logit regression: the student predicts the teacher's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import ResponseLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class LogitRegression(ResponseLoss):
    """Mean squared error between the student's logits and the teacher's, the mean over batch, classes and teachers.

    There is no temperature: it would have to divide both networks' logits, and then it is a factor of `weight` only.
    Customary weight: 1, without labels. `centred` with weight 0.5 is what kd comes to at a high temperature.
    """

    centred: bool = Field(
        False,
        description="compare the logits without their mean over each sample's classes, which no probability depends on",
    )

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        def compare(student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG001 - as all compare
            return logit_regression_loss(student, teacher, centred=self.centred)

        return self.between(compare)


def logit_regression_loss(student: Tensor, teacher: Tensor, *, centred: bool = False) -> Tensor:
    """Σ (s - t)² / (N·C), of logits (N, C); `centred`: of logits that have mean 0 in each sample.

    Source: Ba and Caruana 2014, Do Deep Nets Really Need to be Deep?, section 2.2, there half of the sum over the
    classes; here the mean, so that `weight` means the same for 10 classes and 1000. What `centred` is for: Hinton,
    Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2.1, equation 4.
    """
    difference = student - teacher
    if centred:
        difference = difference - difference.mean(dim=1, keepdim=True)
    return difference.square().mean()
