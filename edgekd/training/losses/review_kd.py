"""Earlier layers of the teacher are reviewed with later ones of the student: knowledge review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Taps, TaughtLoss, Term

if TYPE_CHECKING:
    from torch import Tensor


class KnowledgeReview(TaughtLoss):
    """Each teacher's layer against the student's layer of the same place fused with all deeper ones, by `context_loss`.

    From the deepest layer to the shallowest: the student's map goes through a 1 x 1 convolution, is mixed with what the
    deeper layers gave, by a learned attention, and goes through a 3 x 3 convolution to the teacher's form. The term is
    the sum over layers; each teacher has modules of its own, and the term is their mean.

    The authors' weights lie between 0.6 and 8, by pair of networks, and grow to that in 20 epochs; a warm-up there is
    none here.

    Source: Chen, Liu, Zhao and Jia 2021, Distilling Knowledge via Knowledge Review, sections 3.2 and 3.3.
    """

    student: tuple[str, ...] = Field(min_length=1, description="layers of the student, from shallow to deep")
    teacher: tuple[str, ...] = Field(
        min_length=1, description="as many layers of the teacher; each meets the student's of the same place"
    )
    mid_channels: int | None = Field(
        None,
        ge=1,
        description="channels in which layers are fused; by default those of the student's deepest, up to 512",
    )

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if len(self.student) != len(self.teacher):
            raise ValueError(
                f"student has {len(self.student)} layers and teacher {len(self.teacher)}: they are compared in pairs"
            )
        return self

    @property
    def taps(self) -> Taps:
        return Taps(student=self.student, teacher=self.teacher)

    def build(self, shapes: Shapes) -> Term:
        import torch

        from edgekd.training.losses.parts import TermWithParts, need_maps
        from edgekd.training.losses.review import Review

        mine = [shapes.student[name] for name in self.student]
        reviews: dict[str, Review] = {}
        for name, taps in shapes.teachers.items():
            if self.hears(name):
                theirs = [taps[layer] for layer in self.teacher]
                need_maps(*mine, *theirs)
                reviews[name] = Review(mine, theirs, self.mid_channels or min(512, mine[-1][0]))

        def term(lesson: Lesson) -> Tensor:
            student = [lesson.student.taps[name] for name in self.student]
            values = [
                context_loss(reviews[name](student), [answers.taps[layer] for layer in self.teacher])
                for name, answers in self.heard(lesson).items()
            ]
            return torch.stack(values).mean()

        return TermWithParts(term, *reviews.values())


def context_loss(student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """The hierarchical context loss, summed over layers; student, teacher: maps (N, C, H, W) of the same shapes.

    Of each layer the mean squared error of the maps, and of the maps averaged to 4, 2 and 1 positions an axis, with the
    weights 1, 1/2, 1/4 and 1/8 divided by their sum. A size that is no smaller than the map is left out, and the next
    one has its weight. On maps that are no squares each axis is averaged by itself; the authors' code looks at the
    height alone, and so blows a narrow map up.
    """
    import torch
    from torch.nn import functional

    values = []
    for mine, theirs in zip(student, teacher, strict=True):
        whole = (mine.shape[2], mine.shape[3])
        sizes = [(min(whole[0], size), min(whole[1], size)) for size in (4, 2, 1) if size < max(whole)]
        errors = [functional.mse_loss(mine, theirs)]
        for size in sizes:
            pooled = functional.adaptive_avg_pool2d(mine, size), functional.adaptive_avg_pool2d(theirs, size)
            errors.append(functional.mse_loss(*pooled))
        shares = [0.5**level for level in range(len(errors))]
        parts = [share / sum(shares) * error for share, error in zip(shares, errors, strict=True)]
        values.append(torch.stack(parts).sum())
    return torch.stack(values).sum()
