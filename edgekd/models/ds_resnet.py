"""Depthwise-separable residual networks: the most accuracy of few parameters on photographs."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class SeparableResNet(Model):
    """A plain convolution, then stages of depthwise-separable blocks with shortcuts, all of one width.

    The stem and each further stage halve height and width by max pooling.

    Source: Chollet 2017, Xception, figure 5 and section 4.7: residual separable convolutions, with no activation
    between the two steps.
    """

    stem: int = Field(24, ge=1, le=1024, description="channels of the first convolution, which sees the whole image")
    width: int = Field(96, ge=1, le=4096, description="channels of all blocks")
    blocks: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(
        (3, 4), min_length=1, max_length=6, description="blocks in each stage; each stage halves height and width"
    )

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        from edgekd.models.blocks import Plain, SeparableResidual, convolution

        channels, height, width = self.image_shape(contract)
        if min(height, width) < 2 ** len(self.blocks):
            raise ConfigError(
                f"{len(self.blocks)} stages halve an image of {height} x {width} to nothing",
                hint="give `blocks` fewer numbers",
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Sequential(
            Plain(channels, self.stem, 1),
            nn.MaxPool2d(2),
            *convolution(self.stem, self.width, size=1),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        for number, depth in enumerate(self.blocks):
            halving = [nn.MaxPool2d(2)] if number else []
            stages.append(nn.Sequential(*halving, *(SeparableResidual(self.width) for _ in range(depth))))
        layers["stages"] = nn.Sequential(*stages)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["head"] = nn.Linear(self.width, len(contract.classes))
        return nn.Sequential(layers)
