"""What a term learns of its own: projectors, learned temperatures."""

from __future__ import annotations

from torch import Tensor, nn

from edgekd.training.lesson import Lesson
from edgekd.training.losses.base import Term


class TermWithParts(nn.Module):
    """A term and those of its parts that are modules, so that they are trained, checkpointed and dropped with it."""

    def __init__(self, term: Term, *parts: object) -> None:
        super().__init__()
        self.term = term
        self.parts = nn.ModuleList(part for part in parts if isinstance(part, nn.Module))

    def forward(self, lesson: Lesson) -> Tensor:
        return self.term(lesson)
