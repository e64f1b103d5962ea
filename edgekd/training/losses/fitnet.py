"""Hints: a layer of the student learns to predict a layer of the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Taps, TaughtLoss, Term

if TYPE_CHECKING:
    from torch import Tensor, nn


class FitNet(TaughtLoss):
    """Mean squared error between the student's layer, through a learned projector, and the teacher's.

    The customary weight is 100. Several teachers have a projector each; the term is their mean.

    Source: Romero et al. 2015, FitNets: Hints for Thin Deep Nets, equation 3. There it is half the squared norm of
    the difference; here, as in later comparisons of methods, the mean over all elements, so that `weight` means the
    same for a large layer and a small one.
    """

    student: str = Field(description="layer of the student, by its name (`edgekd list layers`)")
    teacher: str = Field(description="layer of the teacher that it predicts, by its name")

    @property
    def taps(self) -> Taps:
        return Taps(student=(self.student,), teacher=(self.teacher,))

    def build(self, shapes: Shapes) -> Term:
        import torch
        from torch.nn import functional

        from edgekd.training.losses.parts import TermWithParts

        mine = shapes.student[self.student]
        projectors = {
            name: projector(mine, taps[self.teacher]) for name, taps in shapes.teachers.items() if self.hears(name)
        }

        def term(lesson: Lesson) -> Tensor:
            values = []
            for name, answers in self.heard(lesson).items():
                theirs = answers.taps[self.teacher]
                predicted = projectors[name](lesson.student.taps[self.student])
                if predicted.shape != theirs.shape:
                    theirs = functional.adaptive_avg_pool2d(theirs, (predicted.shape[2], predicted.shape[3]))
                values.append(functional.mse_loss(predicted, theirs))
            return torch.stack(values).mean()

        return TermWithParts(term, *projectors.values())


def projector(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module:
    """From a student's features to the form of a teacher's; student, teacher: shapes without the batch.

    Vectors (D,): a linear layer. Maps (C, H, W): a convolution and batch norm; 1 x 1 where the sizes agree, with a
    stride of 2 where the teacher's map is half the student's (rounded up), transposed where it is twice as large. Where
    the sizes are none of these, the larger map is averaged to the smaller size, on each axis by itself.

    It ends without a ReLU, unlike the projectors of RepDistiller (models/util.py, ConvReg): that one can only meet
    layers that end in a ReLU themselves, and this one all.

    Raises:
        ConfigError: the layers are of different kinds, or neither vectors nor maps.
    """
    from torch import nn

    if len(student) == len(teacher) == 1:
        return nn.Linear(student[0], teacher[0])
    if not len(student) == len(teacher) == 3:
        raise ConfigError(
            f"the loss fitnet cannot compare a layer of shape {student} with one of shape {teacher}",
            hint="take two layers of shape (C, H, W), or two of shape (D,)",
        )
    channels, out = student[0], teacher[0]
    size, wanted = student[1:], teacher[1:]
    smaller = tuple(min(each) for each in zip(size, wanted, strict=True))
    parts: list[nn.Module]
    if tuple(-(-each // 2) for each in size) == wanted != size:
        parts = [nn.Conv2d(channels, out, 3, 2, 1, bias=False)]
    elif tuple(2 * each for each in size) == wanted:
        parts = [nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False)]
    elif smaller == size:
        parts = [nn.Conv2d(channels, out, 1, bias=False)]
    else:
        parts = [nn.AdaptiveAvgPool2d(smaller), nn.Conv2d(channels, out, 1, bias=False)]
    return nn.Sequential(*parts, nn.BatchNorm2d(out))
