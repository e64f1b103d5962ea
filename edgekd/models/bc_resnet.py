"""Networks for sounds that look along pitch in two dimensions and along time in one: little to store and to compute."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn

STEM = 16  # channels, as all of these at width 1
STAGES = ((8, 2, 1), (12, 2, 2), (16, 4, 2), (20, 4, 1))
"""Of each stage: channels, blocks, and the stride along pitch; the k-th (from 0) sees every 2^k-th frame."""
HEAD = 32


class BroadcastedResNet(Model):
    """Residual blocks that average over pitch, look along time at what is left, and add that to every pitch.

    Source: Kim et al. 2021, Broadcasted Residual Learning for Efficient Keyword Spotting, figure 2 and table 1. Other
    than there, with 8-bit files in mind, where a batch norm folds into its convolution and ReLU into both: batch norm
    in place of the subspectral one, ReLU in place of swish, and no dropout.
    """

    width: float = Field(1.0, gt=0, le=16, description="the paper's τ, by which all channels are multiplied")

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        from edgekd.models.broadcasted import Broadcasted, along, strided

        channels, pitches, frames = self.image_shape(contract)
        if pitches < 8 or frames < 3:
            raise ConfigError(
                f"the model {self.use} halves the {pitches} pitches of its input three times, and looks along "
                f"{frames} frames",
                hint="give it 8 pitches and 3 frames or more, or take `use: conv` with fewer stages",
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        wide, pitches = self._channels(STEM), strided(pitches, 2)
        layers["stem"] = nn.Sequential(*along(channels, wide, (5, 5), stride=2), nn.ReLU())
        stages: list[nn.Module] = []
        for number, (base, depth, stride) in enumerate(STAGES):
            blocks = []
            for block in range(depth):
                step = 1 if block else stride
                pitches = strided(pitches, step)
                blocks.append(Broadcasted(wide, self._channels(base), pitches, step, 2**number))
                wide = self._channels(base)
            stages.append(nn.Sequential(*blocks))
        layers["stages"] = nn.Sequential(*stages)
        layers["last"] = nn.Sequential(
            *along(wide, wide, (5, 5), groups=wide),
            nn.ReLU(),
            *along(wide, self._channels(HEAD), (1, 1)),
            nn.ReLU(),
        )
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["head"] = nn.Linear(self._channels(HEAD), len(contract.classes))
        return nn.Sequential(layers)

    def _channels(self, base: int) -> int:
        return max(1, round(base * self.width))
