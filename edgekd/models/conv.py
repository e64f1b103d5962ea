"""A plain stack of convolutions: the fastest of the small networks on most devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.models.staged import Staged
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class ConvStack(Staged):
    """Stages of plain convolutions, then global average pooling and one linear layer."""

    def build(self, contract: ModelContract) -> nn.Module:
        from edgekd.models.blocks import Plain, staged

        return staged(contract, Plain, self, stem=False)
