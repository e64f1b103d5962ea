"""What every architecture gives: a torch module for a contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from edgekd.config.component import Component
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class Model(Component):
    @abstractmethod
    def build(self, contract: ModelContract) -> nn.Module:
        """A module from images float32 (N, C, H, W) to logits float32 (N, classes), freshly initialised
        from torch's global generator.

        Raises:
            ConfigError: the options do not fit the contract.
        """
