"""The layers of the network that is described in `airbench.py`."""

from __future__ import annotations

import math

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


class Halving(nn.Sequential):
    """Two 3 x 3 convolutions with GELU, and max pooling after the first: (N, C, H, W) to (N, C', H // 2, W // 2).

    Pooling comes before batch norm, which then has a quarter of the work.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            identity_convolution(channels_in, channels_out),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(channels_out),
            nn.GELU(),
            identity_convolution(channels_out, channels_out),
            nn.BatchNorm2d(channels_out),
            nn.GELU(),
        )


class Scaled(nn.Linear):
    """A linear layer without biases, its outputs a ninth of the usual, as Jordan 2024 has it."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = super().forward(x) / 9
        return scaled


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
    transform: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return transform
