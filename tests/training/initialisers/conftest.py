"""Teachers with narrower students: of every registered architecture, and of what these do not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from edgekd.config.component import component_class
from edgekd.config.registry import MODELS
from edgekd.models.base import Model
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.network import build_network

CLASSES = 7


@dataclass(frozen=True)
class Case:
    """shape: of one sample; make: a network from options; teacher and student: the options of the two."""

    shape: tuple[int, ...]
    make: Callable[..., nn.Module]
    teacher: dict[str, Any]
    student: dict[str, Any]

    def of(self, options: dict[str, Any], seed: int) -> nn.Module:
        """In float64 and eval mode, so that functions can be compared closely."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.make(**options).double().eval()
        lively(network, seed)
        self.calibrate(network)
        return network

    def calibrate(self, network: nn.Module) -> None:
        """Gives batch norm the statistics of the samples, so that a deep network still sees its input."""
        norms = [each for each in network.modules() if isinstance(each, _BatchNorm)]
        for each in norms:
            each.momentum = None
            each.reset_running_stats()
            each.train()
        with torch.no_grad():
            network(self.samples)
        for each in norms:
            each.momentum = 0.1
            each.eval()

    def pair(self) -> tuple[nn.Module, nn.Module]:
        """Student and teacher, both random."""
        return self.of(self.student, 1), self.of(self.teacher, 0)

    @property
    def contract(self) -> ModelContract:
        return contract_of(self.shape)

    @property
    def inputs(self) -> list[Tensor]:
        return [torch.zeros(2, *self.shape, dtype=torch.float64)]

    @property
    def samples(self) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return torch.randn(8, *self.shape, generator=generator, dtype=torch.float64)


def contract_of(shape: tuple[int, ...]) -> ModelContract:
    return ModelContract(
        modality="any", inputs=(InputSpec(name="input", shape=shape),), classes=tuple(map(str, range(CLASSES)))
    )


def registered(use: str, shape: tuple[int, ...], teacher: dict[str, Any], student: dict[str, Any]) -> Case:
    contract = contract_of(shape)

    def make(**options: Any) -> nn.Module:
        made = component_class(MODELS, use).model_validate({"use": use, **options})
        assert isinstance(made, Model)
        return build_network(made, contract, seed=0)

    return Case(shape, make, teacher, student)


class Squeezed(nn.Module):
    """Channels scaled by what their means say of all of them, then added to the input: each in a row of its own."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.less, self.more = nn.Conv2d(width, inner, 1), nn.Conv2d(inner, width, 1)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.stem(images)))
        scale = torch.sigmoid(self.more(functional.relu(self.less(x.mean((2, 3), keepdim=True)))))
        logits: Tensor = self.head((x + scale * x).mean([2, 3]))
        return logits


class Concatenated(nn.Module):
    """Two branches in a row, batch norm over both; and weights of its own that scale and shift channels."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, left, 3, padding=1), nn.Conv2d(3, right, 1)
        self.norm = nn.BatchNorm2d(left + right)
        self.scale = nn.Parameter(torch.ones(left + right, 1, 1))
        self.head = nn.Linear((left + right) * 16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        both = torch.relu(self.norm(torch.cat([self.left(images), self.right(images)], 1)) * self.scale)
        logits: Tensor = self.head(torch.flatten(functional.avg_pool2d(both, 2), 1))
        return logits


class Twice(nn.Module):
    """One layer that runs twice, so that its outputs are its inputs; and weights that are used as a function's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(5, width), nn.Linear(width, width)
        self.weight = nn.Parameter(torch.randn(CLASSES, width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.again(self.again(self.first(x).relu()).relu()).relu(), self.weight)


def flattened(width: int) -> nn.Module:
    """Maps into a linear layer, and a depthwise convolution that makes two channels of each."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, groups=width),
        nn.BatchNorm2d(2 * width),
        nn.GELU(),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(12 * width, CLASSES),
    )


REGISTERED = {
    "mlp": registered("mlp", (1, 4, 4), {"width": 12, "depth": 3}, {"width": 5, "depth": 3}),
    "conv": registered("conv", (3, 9, 8), {"width": 8, "depth": 2}, {"width": 3, "depth": 2}),
    "resnet": registered("resnet", (3, 8, 8), {"width": 8, "depth": 2}, {"width": 5, "depth": 2, "growth": 1.5}),
    "ds_cnn": registered("ds_cnn", (3, 8, 8), {"width": 8, "depth": 2}, {"width": 5, "depth": 2, "growth": 1.5}),
    "ds_resnet": registered("ds_resnet", (3, 16, 16), {"stem": 6, "width": 12}, {"stem": 4, "width": 7}),
    "airbench": registered("airbench", (3, 20, 20), {"widths": (9, 14, 16)}, {"widths": (5, 8, 9)}),
    "bc_resnet": registered("bc_resnet", (1, 16, 9), {"width": 1}, {"width": 0.5}),
    "torchvision": registered("torchvision", (3, 32, 32), {"name": "mnasnet1_0"}, {"name": "mnasnet0_5"}),
}
CASES = {
    **REGISTERED,
    "squeezed": Case((3, 8, 8), Squeezed, {"width": 12, "inner": 6}, {"width": 7, "inner": 3}),
    "concatenated": Case((3, 8, 8), Concatenated, {"left": 6, "right": 9}, {"left": 4, "right": 2}),
    "twice": Case((5,), Twice, {"width": 12}, {"width": 7}),
    "flattened": Case((3, 9, 9), flattened, {"width": 9}, {"width": 4}),
}


def lively(network: nn.Module, seed: int) -> None:
    """Nothing of a fresh network's ones, zeros and identities, so that nothing is right by chance."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in network.modules():
            if isinstance(each, _BatchNorm) and each.affine:
                sizes, signs, biases = torch.rand(3, len(each.weight), generator=generator, dtype=torch.float64)
                each.weight.copy_((sizes + 0.5) * (signs - 0.3).sign())
                each.bias.copy_(biases / 2 - 0.2)
            elif isinstance(each, (nn.Conv2d, nn.Linear)):
                drawn = torch.randn(each.weight.shape, generator=generator, dtype=torch.float64)
                each.weight.copy_(drawn * (2 / each.weight[0].numel()) ** 0.5)
