"""What a learned temperature consists of."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Adversary(nn.Module):
    """The temperature at each progress; the loss that is made small makes it whatever makes that loss large."""

    def __init__(self, lowest: float, span: float, rising: float) -> None:
        super().__init__()
        self.lowest, self.span, self.rising = lowest, span, rising
        self.theta = nn.Parameter(torch.tensor(1.0))

    def strength(self, progress: float) -> float:
        """From 0 to 1 along half a cosine, in the first `rising` of the training."""
        return (1 - math.cos(math.pi * min(1.0, progress / self.rising))) / 2 if self.rising else 1.0

    def forward(self, progress: float) -> Tensor:
        return self.lowest + self.span * torch.sigmoid(reversed_gradient(self.theta, self.strength(progress)))


def reversed_gradient(values: Tensor, strength: float) -> Tensor:
    """The values themselves; their gradient is -strength times what it would be."""
    kept = values.detach()
    return kept - strength * (values - kept)
