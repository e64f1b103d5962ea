"""From a layer of the student to the form of a teacher's."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import ConfigError
from edgekd.training.lesson import Lesson
from edgekd.training.losses.base import Compare
from edgekd.training.losses.parts import embedded


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
    if len(student) == len(teacher) == 1:
        return nn.Linear(student[0], teacher[0])
    if not len(student) == len(teacher) == 3:
        raise ConfigError(
            f"a layer of shape {student} cannot be projected to one of shape {teacher}",
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


class Fitted(nn.Module):
    """A comparison of the student's layer, through a learned part, with the teacher's as it is."""

    def __init__(self, part: nn.Module, compare: Compare) -> None:
        super().__init__()
        self.part = part
        self.compare = compare

    def forward(self, student: Tensor, teacher: Tensor, lesson: Lesson) -> Tensor:
        return self.compare(self.part(student), teacher, lesson)


class Embedding(nn.Linear):
    """Maps (N, C, H, W), averaged over space, or vectors (N, C) through a linear layer: (N, out)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(embedded(input))


class MapNorm(nn.BatchNorm2d):
    """Batch norm that takes one value a channel too, which has no spread: it is normalised with the running statistics.

    That is a batch of 1 with maps of 1 x 1, which torch refuses.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        if input.numel() > self.num_features:
            return super().forward(input)
        return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def pointwise(channels: int, out: int) -> nn.Sequential:
    """Maps of `channels` to maps of `out` channels, of the same size: a 1 x 1 convolution and batch norm."""
    return nn.Sequential(nn.Conv2d(channels, out, 1, bias=False), MapNorm(out))
