"""A network with every kind of parameter, and gradients that a test can repeat."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from edgekd.config.component import component_class
from edgekd.config.registry import OPTIMIZERS
from edgekd.config.training import TrainingOptions
from edgekd.training.layout import lay_out
from edgekd.training.optimizers.base import Optimizer

CLASSES = 4
OPTIONS = TrainingOptions(epochs=1, learning_rate=0.01, weight_decay=0.1)


def method(use: str, **options: object) -> Optimizer:
    made = component_class(OPTIMIZERS, use).model_validate({"use": use, **options})
    assert isinstance(made, Optimizer)
    return made


class Part(nn.Module):
    """What a loss term learns of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.projector = nn.Linear(6, 5)
        self.scale = nn.Parameter(torch.tensor(0.5))


def network(seed: int = 0) -> nn.Module:
    """Maps (N, 2, 6, 6) to (N, 4); its weights of four dimensions lie with the channels last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        layers["norm"] = nn.BatchNorm2d(6)
        layers["depthwise"] = nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False)
        layers["again"] = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        layers["third"] = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        layers["relu"] = nn.ReLU()
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["hidden"] = nn.Linear(6, 9)
        layers["relu2"] = nn.ReLU()
        layers["head"] = nn.Linear(9, CLASSES)
        made = nn.Sequential(layers)
    lay_out(made)
    return made


def part(seed: int = 1) -> Part:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Part()


def parameters(*modules: nn.Module) -> list[nn.Parameter]:
    return [each for module in modules for each in module.parameters()]


def give_gradients(learned: list[nn.Parameter], seed: int) -> None:
    """The same for the same seed, lying in memory as the parameters do."""
    generator = torch.Generator().manual_seed(seed)
    for each in learned:
        each.grad = torch.empty_like(each).copy_(torch.randn(each.shape, generator=generator))


def copies(learned: list[nn.Parameter]) -> list[Tensor]:
    return [each.detach().clone() for each in learned]
