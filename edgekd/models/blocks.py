"""The parts that the convolutional networks are made of: batch norm before ReLU, pooling by operator.

Both matter for int8: a batch norm right after its convolution folds into it, and a mean over H and W written as
`x.mean((2, 3))` exports as ReduceMean, which breaks the chain of integer operators.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.staged import Staged
from edgekd.records.contract import ModelContract

Block = Callable[[int, int, int, int], nn.Module]
"""(channels in, channels out, stride, size of its convolutions) -> module."""


def convolution(
    channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution and batch norm, without the activation; the output is the input's size / stride, rounded up."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class Plain(nn.Sequential):
    """A convolution and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, size: int = 3) -> None:
        super().__init__(*convolution(channels_in, channels_out, size=size, stride=stride), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions beside a shortcut, which is a 1 x 1 convolution where the shape changes.

    Source: He et al. 2016, Deep Residual Learning, section 3.3 (option B).
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, size: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *convolution(channels_in, channels_out, size=size, stride=stride),
            nn.ReLU(),
            *convolution(channels_out, channels_out, size=size),
        )
        same = channels_in == channels_out and stride == 1
        self.shortcut = nn.Identity() if same else convolution(channels_in, channels_out, size=1, stride=stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return y


class Separable(nn.Sequential):
    """A convolution of each channel by itself, then a 1 x 1 convolution across them, each with ReLU.

    Source: Howard et al. 2017, MobileNets, figure 3.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int, size: int = 3) -> None:
        super().__init__(
            *convolution(channels_in, channels_in, size=size, stride=stride, groups=channels_in),
            nn.ReLU(),
            *convolution(channels_in, channels_out, size=1),
            nn.ReLU(),
        )


class SeparableResidual(nn.Module):
    """The input, and beside it a 3 x 3 convolution of each channel by itself and a 1 x 1 convolution across them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            *convolution(channels, channels, size=1),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


def staged(contract: ModelContract, block: Block, options: Staged, *, stem: bool) -> nn.Sequential:
    """The network that the options describe, of such blocks: `stem`, `stages`, `pool`, `flatten` and `head`.

    Stage k (from 0) is the layer `stages.k`, of `options.channels(k)` channels. `stem` puts a plain
    convolution before the first stage; without it the first block reads the image itself.

    Raises:
        ConfigError: the inputs are no images, or too small to be halved so often.
    """
    channels, height, width = options.image_shape(contract)
    side = min(height, width) // options.stride
    if side < 2 ** (options.stages - 1):
        raise ConfigError(
            f"{options.stages} stages halve an image of {height} x {width} to nothing",
            hint=f"take at most {max(1, side.bit_length())} stages, or a smaller stride",
        )
    stride = options.stride
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if stem:
        layers["stem"] = Plain(channels, options.channels(0), stride, options.kernel)
        channels, stride = options.channels(0), 1
    stages = []
    for stage in range(options.stages):
        blocks = []
        for _ in range(options.depth):
            wide = options.channels(stage)
            blocks.append(block(channels, wide, stride, options.kernel))
            channels, stride = wide, 1
        stages.append(nn.Sequential(*blocks))
        stride = 2
    layers["stages"] = nn.Sequential(*stages)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(channels, len(contract.classes))
    return nn.Sequential(layers)
