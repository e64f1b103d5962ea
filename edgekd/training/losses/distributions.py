"""Probabilities in log space: of one class against all others, and of some classes among themselves.

At logits of ±500 a softmax has zeros, whose logarithm is -inf; nothing here takes the logarithm of a softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgekd.errors import ConfigError


def divergence(target: Tensor, given: Tensor) -> Tensor:
    """KL(target ‖ given) of each sample, (N,); both log probabilities (N, K). Where both are 0 it counts nothing."""
    return (target.exp() * (target - given)).sum(dim=1)


def one_or_other(logits: Tensor, one: Tensor) -> Tensor:
    """log p[one] and log(1 - p[one]) of each sample, (N, 2); logits (N, C), one: the class of each sample, (N,)."""
    own = one[:, None]
    logs = logits.log_softmax(dim=1)
    others = logs.scatter(1, own, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([logs.gather(1, own), others], dim=1)


def all_but(logits: Tensor, one: Tensor) -> Tensor:
    """True (N, C) for every class but each sample's own, (N,)."""
    return torch.ones_like(logits, dtype=torch.bool).scatter(1, one[:, None], False)


def log_softmax_among(logits: Tensor, among: Tensor) -> Tensor:
    """The log probabilities of the classes `among` (N, C) if there were no others; 0 for the others, which `divergence`
    then leaves out. A sample may have none at all.

    Published code subtracts 1000 from the logits to leave out instead, which is too little for logits of ±500.
    """
    lowest = torch.finfo(logits.dtype).min  # not -inf: a row of nothing else would be NaN on the way
    return logits.masked_fill(~among, lowest).log_softmax(dim=1).masked_fill(~among, 0)


def need_three_classes(classes: int) -> None:
    """Raises:
    ConfigError: there are two, so that beside the right class one is left, which is certain among itself.
    """
    if classes < 3:
        raise ConfigError(
            f"it compares the classes beside the right one among themselves, and of {classes} classes one is left",
            hint="take kd",
        )
