"""The parts that the convolutional networks are made of: batch norm before ReLU, pooling by operator.

Both matter for int8: a batch norm right after its convolution folds into it, and a mean over H and W written as
`x.mean((2, 3))` exports as ReduceMean, which breaks the chain of integer operators.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract

Block = Callable[[int, int, int], nn.Module]
"""(channels in, channels out, stride) -> module."""


def convolution(
    channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution and batch norm, without the activation; the output is the input's size / stride, rounded up."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class Plain(nn.Sequential):
    """A 3 x 3 convolution and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(*convolution(channels_in, channels_out, stride=stride), nn.ReLU())


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes.

    Source: He et al. 2016, Deep Residual Learning, section 3.3 (option B).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels_in, channels_out, stride=stride),
            nn.ReLU(),
            *convolution(channels_out, channels_out),
        )
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, size=1, stride=stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return y


class Separable(nn.Sequential):
    """A 3 x 3 convolution of each channel by itself, then a 1 x 1 convolution across them, each with ReLU.

    Source: Howard et al. 2017, MobileNets, figure 3.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(
            *convolution(channels_in, channels_in, stride=stride, groups=channels_in),
            nn.ReLU(),
            *convolution(channels_in, channels_out, size=1),
            nn.ReLU(),
        )


def staged(
    contract: ModelContract, block: Block, *, width: int, depth: int, stages: int, growth: float, stem: bool
) -> nn.Sequential:
    """A network of `stages` stages of `depth` blocks; each further stage halves height and width.

    Stage k (from 0) has width · growth^k channels, rounded. `stem` puts a plain convolution before the first
    stage; without it the first block reads the image itself.

    Raises:
        ConfigError: the image is too small to be halved so often.
    """
    image = contract.image
    if min(image.height, image.width) < 2 ** (stages - 1):
        raise ConfigError(
            f"{stages} stages halve an image of {image.height} x {image.width} to nothing",
            hint=f"take at most {min(image.height, image.width).bit_length()} stages",
        )
    channels = image.channels
    layers: list[nn.Module] = []
    if stem:
        layers.append(Plain(channels, width, 1))
        channels = width
    for stage in range(stages):
        for position in range(depth):
            wide = round(width * growth**stage)
            layers.append(block(channels, wide, 2 if stage > 0 and position == 0 else 1))
            channels = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, len(contract.classes)))
