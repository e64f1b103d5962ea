"""What every architecture gives: a torch module for a contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from edgekd.config.component import Component
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import Tensor, nn


def blank_inputs(contract: ModelContract, samples: int) -> tuple[Tensor, ...]:
    """Zeros in the form of that many samples, in the order of the contract's inputs."""
    import torch

    return tuple(
        torch.zeros(samples, *each.shape, dtype=torch.int32 if each.dtype == "int32" else torch.float32)
        for each in contract.inputs
    )


class Model(Component):
    @abstractmethod
    def build(self, contract: ModelContract) -> nn.Module:
        """A module from the contract's inputs, one argument each, float32 or int32 (N, ...), to logits float32
        (N, classes).

        It is freshly initialised from torch's global generator.

        Raises:
            ConfigError: the options do not fit the contract.
        """

    def image_shape(self, contract: ModelContract) -> tuple[int, int, int]:
        """Channels, height and width of the input, for networks that need these.

        Raises:
            ConfigError: the input has another kind of shape.
        """
        if len(contract.shape) != 3:
            raise ConfigError(
                f"the model {self.use} needs inputs of shape (channels, height, width), these are {contract.shape}",
                hint="`use: mlp` takes inputs of any shape",
            )
        channels, height, width = contract.shape
        return channels, height, width
