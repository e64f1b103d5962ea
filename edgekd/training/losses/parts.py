"""What several terms are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
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


def agreed(teachers: Sequence[Tensor], *, confident: bool) -> Tensor:
    """The logarithm of the teachers' mean probabilities (N, C), which is logits of them; teachers: logits (N, C) each.

    confident: in each sample, a teacher counts by exp(-H) of its answer's entropy H instead of all alike.

    Source: Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2, for the arithmetic
    mean; Kwon et al. 2020, Adaptive Knowledge Distillation Based on Entropy, for entropy as what a teacher counts by.
    """
    answers = torch.stack([functional.log_softmax(each, dim=1) for each in teachers])
    if not confident:
        return answers.logsumexp(0) - math.log(len(teachers))
    certainty = (answers.exp() * answers).sum(dim=2, keepdim=True)  # minus the entropy
    return (answers + functional.log_softmax(certainty, dim=0)).logsumexp(0)


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


def directions(vectors: Tensor, dim: int) -> Tensor:
    """The vectors along `dim`, each divided by its length; one of length 0 stays 0 and passes no gradient.

    The customary division by max(length, 1e-12) passes it one that is 1e12 times too large, and by sqrt(Σ v²) a NaN.
    """
    length = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors / torch.where(length > 0, length, math.inf)


def same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, C, H, W), the larger ones averaged to the smaller size, on each axis by itself; C may differ."""
    height, width = (min(pair) for pair in zip(student.shape[2:], teacher.shape[2:], strict=True))
    return _averaged(student, height, width), _averaged(teacher, height, width)


def _averaged(maps: Tensor, height: int, width: int) -> Tensor:
    return maps if maps.shape[2:] == (height, width) else functional.adaptive_avg_pool2d(maps, (height, width))


def need_maps(*shapes: tuple[int, ...]) -> None:
    """Raises:
    ConfigError: a layer of one of these shapes, which are without the batch, gives no maps (C, H, W).
    """
    for shape in shapes:
        if len(shape) != 3:
            raise ConfigError(
                f"it compares maps, and a layer of shape {shape} gives none", hint="take two layers of shape (C, H, W)"
            )
