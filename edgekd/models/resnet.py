"""Residual networks as He et al. made them for CIFAR: a good teacher for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.models.staged import Staged
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class ResNet(Staged):
    """Stages of residual blocks; three stages of `depth` n make the ResNet of 6n + 2 layers.

    Source: He et al. 2016, Deep Residual Learning, section 4.2.
    """

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Residual, staged

        return staged(contract, Residual, self, stem=True)
