"""Residual networks as He et al. made them for CIFAR: a good teacher for small images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class ResNet(Model):
    """Stages of residual blocks; three stages of `depth` n make the ResNet of 6n + 2 layers.

    Source: He et al. 2016, Deep Residual Learning, section 4.2.
    """

    width: int = Field(16, ge=1, le=1024, description="channels of the first stage")
    depth: int = Field(1, ge=1, le=64, description="residual blocks in each stage")
    stages: int = Field(3, ge=1, le=6, description="stages; each further one halves height and width")
    growth: float = Field(2.0, ge=1, le=4, description="channels of a stage relative to the one before")

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Residual, staged

        return staged(
            contract, Residual, width=self.width, depth=self.depth, stages=self.stages, growth=self.growth, stem=True
        )
