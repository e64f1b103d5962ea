"""What several terms are made of."""

from __future__ import annotations

from torch import Tensor, nn

from edgekd.errors import ConfigError
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


def standardised(logits: Tensor) -> Tensor:
    """Each sample's logits (N, C) with mean 0 and standard deviation 1 over the classes.

    Source: Sun et al. 2024, Logit Standardization in Knowledge Distillation, algorithm 1; the deviation is that of a
    sample (divided by C - 1), and 1e-7 is added to it, as in the authors' code.
    """
    spread = logits.std(dim=1, keepdim=True)
    return (logits - logits.mean(dim=1, keepdim=True)) / (spread + 1e-7)


def need_maps(*shapes: tuple[int, ...]) -> None:
    """Raises:
    ConfigError: a layer of one of these shapes, which are without the batch, gives no maps (C, H, W).
    """
    for shape in shapes:
        if len(shape) != 3:
            raise ConfigError(
                f"it compares maps, and a layer of shape {shape} gives none", hint="take two layers of shape (C, H, W)"
            )
