"""What comparisons of two layers have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


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
