"""The block of `bc_resnet.py`, on maps (N, C, pitches, frames)."""

from __future__ import annotations

from torch import Tensor, nn


def strided(size: int, stride: int) -> int:
    """What is left of `size` places."""
    return -(-size // stride)


def along(
    channels_in: int,
    channels_out: int,
    size: tuple[int, int],
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Convolution and batch norm, without the activation; stride: along pitch, dilation: along time."""
    padding = (size[0] // 2, size[1] // 2 * dilation)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, size, (stride, 1), padding, (1, dilation), groups, bias=False),
        nn.BatchNorm2d(channels_out),
    )


class Broadcasted(nn.Module):
    """y = ReLU(x + f2(x) + f1(mean over pitch of f2(x))), the last the same for every pitch; x is left out where the
    block changes the channels or the size.

    f2 is a depthwise convolution along pitch, after a 1 x 1 convolution where the channels change; f1 is a depthwise
    convolution along time and a 1 x 1 convolution. pitches: of the output.

    Source: Kim et al. 2021, Broadcasted Residual Learning, equation 2.
    """

    def __init__(self, channels_in: int, channels_out: int, pitches: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.same = channels_in == channels_out and stride == 1
        widening = [] if channels_in == channels_out else [*along(channels_in, channels_out, (1, 1)), nn.ReLU()]
        self.pitch = nn.Sequential(
            *widening, *along(channels_out, channels_out, (3, 1), stride=stride, groups=channels_out)
        )
        self.time = nn.Sequential(
            nn.AvgPool2d((pitches, 1)),
            *along(channels_out, channels_out, (1, 3), dilation=dilation, groups=channels_out),
            nn.ReLU(),
            nn.Conv2d(channels_out, channels_out, 1),
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        both = self.pitch(x)
        y = both + self.time(both)
        if self.same:
            y = y + x
        activated: Tensor = self.activation(y)
        return activated
