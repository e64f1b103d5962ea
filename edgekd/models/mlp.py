"""Multilayer perceptrons: the networks of the first distillation experiments."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class Mlp(Model):
    """Fully connected layers with ReLU between them, for inputs of any shape: the layers `hidden` and `head`."""

    width: int = Field(128, ge=1, le=65536, description="units of each hidden layer")
    depth: int = Field(1, ge=0, le=64, description="hidden layers")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the hidden units left out in each training step")

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        units = math.prod(contract.shape)
        hidden: list[nn.Module] = []
        for _ in range(self.depth):
            hidden += [nn.Linear(units, self.width), nn.ReLU()]
            if self.dropout:
                hidden.append(nn.Dropout(self.dropout))
            units = self.width
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if len(contract.shape) > 1:
            layers["flatten"] = nn.Flatten()
        layers["hidden"] = nn.Sequential(*hidden)
        layers["head"] = nn.Linear(units, len(contract.classes))
        return nn.Sequential(layers)
