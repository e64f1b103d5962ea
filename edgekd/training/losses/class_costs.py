"""How unlike each other classes are, as a teacher's answers show."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClassCosts(nn.Module):
    """1 - max(0, r) for each pair of classes, (C, C), with r the correlation of their logits over all samples so far.

    Logits are without their mean over the classes, which a softmax does not see. A class whose logit never changes is
    unlike all others. What was seen is kept, and a sample that is seen again counts again.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(classes))
        self.register_buffer("covariance", torch.zeros(classes, classes))

    @torch.no_grad()
    def forward(self, logits: Tensor) -> Tensor:
        """The costs after these answers too; logits: (N, C)."""
        centred = logits - logits.mean(dim=1, keepdim=True)
        mean = centred.mean(dim=0)
        deviations = centred - mean
        # the covariance of both together: Chan, Golub and LeVeque 1983, Algorithms for Computing the Sample Variance
        count = self.count + len(logits)
        share = len(logits) / count
        moved = mean - self.mean
        mean = self.mean + share * moved
        covariance = self.covariance.lerp(deviations.T @ deviations / len(logits), share)
        covariance = covariance + share * (1 - share) * torch.outer(moved, moved)
        if self.training:
            self.count.copy_(count)
            self.mean.copy_(mean)
            self.covariance.copy_(covariance)
        spread = covariance.diagonal().clamp(min=torch.finfo(covariance.dtype).tiny).sqrt()
        costs = 1 - (covariance / spread / spread[:, None]).clamp(0, 1)
        return costs.fill_diagonal_(0)
