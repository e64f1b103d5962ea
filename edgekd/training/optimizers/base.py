"""How gradients change what is learned: groups of parameters, each with a learning rate and a decay of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekd.config.component import Component

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgekd.config.training import TrainingOptions

Group = dict[str, Any]
"""A parameter group as torch takes it, with `scale`: its learning rate relative to the section's `learning_rate`."""


class Optimizer(Component):
    """A method that turns the gradients of a step into new weights."""

    @abstractmethod
    def build(
        self, network: nn.Module, objective: nn.Module, options: TrainingOptions, *, classes: int
    ) -> torch.optim.Optimizer:
        """It learns all parameters of the network and of the objective that have a gradient.

        classes: outputs of the network, by which its last layer is known. Every group is a `Group`, and all that it
        keeps for a parameter is tensors, so that a checkpoint can hold them.
        """


def learned(module: nn.Module) -> list[nn.Parameter]:
    """Its parameters without those that are frozen."""
    return [each for each in module.parameters() if each.requires_grad]


def decaying(parameters: Sequence[nn.Parameter], options: TrainingOptions, *, scale: float = 1.0) -> list[Group]:
    """Two groups: weights, and biases and batch norm, which have one dimension at most and do not decay."""
    rate = {"lr": options.learning_rate * scale, "scale": scale}
    return [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": options.weight_decay, **rate},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0, **rate},
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every group its share of a learning rate that is meant for those of scale 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def lay_out_gradients(optimizer: torch.optim.Optimizer, *_step: object) -> None:
    """A hook before each step: gradients that lie otherwise in memory than their parameters are copied.

    torch's fused step on a CPU goes through the memory of both side by side without looking at strides: with a
    gradient in another memory format it is silently wrong (torch 2.14). Gradients that autograd has accumulated lie
    as their parameters do and are left alone.
    """
    import torch

    for group in optimizer.param_groups:
        for each in group["params"]:
            if each.grad is not None and each.grad.stride() != each.stride():
                each.grad = torch.empty_like(each).copy_(each.grad)
