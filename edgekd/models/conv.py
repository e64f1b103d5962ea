"""A plain stack of convolutions: the fastest of the small networks on most devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class ConvStack(Model):
    """Stages of plain 3 x 3 convolutions, then global average pooling and one linear layer."""

    width: int = Field(8, ge=1, le=1024, description="channels of the first stage")
    depth: int = Field(1, ge=1, le=64, description="convolutions in each stage")
    stages: int = Field(3, ge=1, le=6, description="stages; each further one halves height and width")
    growth: float = Field(2.0, ge=1, le=4, description="channels of a stage relative to the one before")

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Plain, staged

        return staged(
            contract, Plain, width=self.width, depth=self.depth, stages=self.stages, growth=self.growth, stem=False
        )
