"""What is learned of a teacher's layer: its mean, given the student's, and its variance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson
from edgekd.training.losses.parts import same_size
from edgekd.training.losses.vid import surprise

SMALLEST = 1e-5
"""Of a variance."""

SLOPE = 0.1


class Variational(nn.Module):
    """A Gaussian of the teacher's layer; student, teacher: shapes without the batch.

    The variance is softplus(alpha) + 1e-5; alpha has one dimension, so that no optimizer decays it.

    Raises:
        ConfigError: the layers are of different kinds, or neither vectors nor maps.
    """

    def __init__(self, student: tuple[int, ...], teacher: tuple[int, ...], initial_variance: float) -> None:
        super().__init__()
        self.mean = _mean(student, teacher)
        softened = initial_variance - SMALLEST
        alpha = softened + math.log(-math.expm1(-softened))
        self.alpha = nn.Parameter(torch.full((teacher[0],), alpha))

    @property
    def variance(self) -> Tensor:
        """Of each channel, (C,)."""
        return functional.softplus(self.alpha) + SMALLEST

    def forward(self, student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:  # noqa: ARG002 - as all compare
        if teacher.ndim == 4:
            student, teacher = same_size(student, teacher)
        return surprise(self.mean(student), teacher, self.variance)


def _mean(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module:
    """Vectors: a linear layer. Maps: three 1 x 1 convolutions, as in the authors' code.

    Between them is a leaky ReLU. With the ReLU of the authors' code, and few channels, all units may be off from the
    start: the term teaches nothing then, and never will.
    """
    inputs, outputs = student[0], teacher[0]
    if len(student) == len(teacher) == 1:
        return nn.Linear(inputs, outputs)
    if not len(student) == len(teacher) == 3:
        raise ConfigError(
            f"a layer of shape {student} cannot predict one of shape {teacher}",
            hint="take two layers of shape (C, H, W), or two of shape (D,)",
        )
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(outputs, outputs, 1, bias=False),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(outputs, outputs, 1, bias=False),
    )
