"""AdamW: the plain choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.optimizers.base import Optimizer, decaying, lay_out_gradients, learned

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgekd.config.training import TrainingOptions


class AdamW(Optimizer):
    """Adam with decoupled weight decay, of weights only: not of biases and batch norm.

    Source: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
    """

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
        optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)
        optimizer.register_step_pre_hook(lay_out_gradients)
        return optimizer
