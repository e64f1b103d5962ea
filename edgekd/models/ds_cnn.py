"""Depthwise-separable networks (DS-CNN, MobileNet-like): few parameters, good on ARM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.models.staged import Staged
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class DepthwiseSeparable(Staged):
    """A plain convolution, then stages of depthwise-separable blocks."""

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Separable, staged

        return staged(contract, Separable, self, stem=True)
