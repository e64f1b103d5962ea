"""What several terms are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

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


def embedded(features: Tensor) -> Tensor:
    """One vector a sample (N, D): of maps (N, C, H, W) the mean over space, and vectors as they are."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def embedded_size(shape: tuple[int, ...]) -> int:
    """How long the vectors are that `embedded` makes of a layer; shape: without the batch.

    Raises:
        ConfigError: the layer gives neither maps nor vectors.
    """
    if len(shape) not in (1, 3):
        raise ConfigError(
            f"a layer of shape {shape} gives no single vector", hint="take layers of shape (C, H, W) or (D,)"
        )
    return shape[0]


def of_unit_length(vectors: Tensor) -> Tensor:
    """Each of the vectors (N, D) divided by its length; one of zeros stays one, with a gradient that is finite."""
    return functional.normalize(vectors, dim=1, eps=1e-6)


def need_maps(*shapes: tuple[int, ...]) -> None:
    """Raises:
    ConfigError: a layer of one of these shapes, which are without the batch, gives no maps (C, H, W).
    """
    for shape in shapes:
        if len(shape) != 3:
            raise ConfigError(
                f"it compares maps, and a layer of shape {shape} gives none", hint="take two layers of shape (C, H, W)"
            )
