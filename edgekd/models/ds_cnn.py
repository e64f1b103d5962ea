"""Depthwise-separable networks (DS-CNN, MobileNet-like): few parameters, good on ARM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class DepthwiseSeparable(Model):
    """A plain convolution, then stages of depthwise-separable blocks."""

    width: int = Field(16, ge=1, le=1024, description="channels of the first stage")
    depth: int = Field(1, ge=1, le=64, description="separable blocks in each stage")
    stages: int = Field(3, ge=1, le=6, description="stages; each further one halves height and width")
    growth: float = Field(2.0, ge=1, le=4, description="channels of a stage relative to the one before")

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Separable, staged

        return staged(
            contract, Separable, width=self.width, depth=self.depth, stages=self.stages, growth=self.growth, stem=True
        )
