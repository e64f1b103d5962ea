"""Stochastic gradient descent with Nesterov momentum: what convolutional networks are customarily trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.optimizers.base import Optimizer, decaying, learned

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgekd.config.training import TrainingOptions


class Sgd(Optimizer):
    """Gradient descent with Nesterov momentum; `learning_rate` is customarily 0.1 with it, `weight_decay` 5e-4.

    Decay is the customary L2 term of the gradient, so it goes through the momentum; not of biases and batch norm.

    Source: Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, equations 3-4, in
    the form that needs the gradient at the weights themselves: v ← μv + g; w ← w - η(g + μv).
    """

    momentum: float = Field(0.9, ge=0, lt=1, description="share of the last step's velocity that is kept")

    def build(
        self,
        network: nn.Module,
        objective: nn.Module,
        options: TrainingOptions,
        *,
        classes: int,  # noqa: ARG002 - the signature of those that treat the last layer by itself
    ) -> torch.optim.Optimizer:
        import torch

        groups = decaying([*learned(network), *learned(objective)], options)
        # torch's default on a CPU goes through the parameters one by one in Python and takes twice as long
        return torch.optim.SGD(
            groups, lr=options.learning_rate, momentum=self.momentum, nesterov=self.momentum > 0, foreach=True
        )
