"""The layers of the network that is described in `airbench.py`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Whitening(nn.Module):
    """A fixed 2 x 2 convolution whose outputs are nearly uncorrelated on photographs, each of variance 1, and their
    negatives: images (N, C, H, W) to (N, 8 C, H - 1, W - 1).

    Jordan 2024 takes the eigenvectors of the training samples' patches. Those of photographs come close to the cosine
    transform (Ahmed et al. 1974), along the axis of colours too, where it gives brightness and two differences: so no
    samples are needed, and batch norm brings each output to variance 1.
    """

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        plane = cosines(2)
        patches = torch.einsum("ac,bh,dw->abdchw", cosines(channels), plane, plane).flatten(0, 2)
        self.register_buffer("filters", torch.cat([patches, -patches]), persistent=False)
        self.channels_out = len(self.filters)
        self.norm = nn.BatchNorm2d(self.channels_out, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        whitened: Tensor = self.norm(functional.conv2d(images, self.filters))
        return whitened


class Norm(nn.BatchNorm2d):
    """Batch norm with a learned bias and a gain of 1: an increasing function."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        del self.weight
        self.register_buffer("weight", torch.ones(channels), persistent=False)


class Halving(nn.Module):
    """Two 3 x 3 convolutions with max pooling after the first: (N, C, H, W) to (N, C', H // 2, W // 2).

    The largest value is the same before and after an increasing function. So in training pooling comes first, which
    leaves a quarter of the work to batch norm; afterwards batch norm comes first, where it folds into its convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first = identity_convolution(channels_in, channels_out)
        self.first_norm = Norm(channels_out)
        self.pool = nn.MaxPool2d(2)
        self.first_activation = activation()
        self.second = nn.Sequential(
            identity_convolution(channels_out, channels_out), Norm(channels_out), activation()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.first_norm(self.pool(x)) if self.training else self.pool(self.first_norm(x))
        y: Tensor = self.second(self.first_activation(x))
        return y


class Scaled(nn.Linear):
    """A linear layer without biases, whose outputs start small.

    Nine times smaller than usual, as Jordan 2024 has it.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 9


def identity_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3 x 3 convolution whose first outputs are at first its inputs, the others random (Jordan 2024, section 3.2)."""
    made = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(made.weight[:channels_in])
    return made


def cosines(size: int) -> Tensor:
    """The orthogonal cosine transform (DCT-II), float32 (size, size): frequencies in rows."""
    place = (torch.arange(size) + 0.5) * math.pi / size
    rows = torch.cos(torch.arange(size)[:, None] * place)
    return rows / rows.norm(dim=1, keepdim=True)
