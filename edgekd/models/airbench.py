"""The network that learns small photographs fastest: a good teacher where minutes count."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class Airbench(Model):
    """A fixed 2 x 2 convolution that whitens, then a group of two 3 x 3 convolutions at each width, each at half the
    size of the one before.

    Source: Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, section 3; here the gains of batch norm are
    learned, and whitening knows photographs in general, not the training samples.
    """

    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        (64, 256, 256), min_length=1, max_length=6, description="channels of each group; each halves height and width"
    )

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        from edgekd.models.whitening import Halving, Scaled, Whitening

        channels, height, width = self.image_shape(contract)
        if min(height, width) <= 2 ** len(self.widths):
            raise ConfigError(
                f"{len(self.widths)} groups halve an image of {height} x {width} to nothing",
                hint="give fewer widths",
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = nn.Sequential(whitening := Whitening(channels), nn.GELU())
        wide = whitening.channels_out
        groups = []
        for each in self.widths:
            groups.append(Halving(wide, each))
            wide = each
        layers["groups"] = nn.Sequential(*groups)
        layers["pool"] = nn.AdaptiveMaxPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["head"] = Scaled(wide, len(contract.classes))
        return nn.Sequential(layers)
