"""What every architecture gives: a torch module for a contract."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, cast

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


def drawn_inputs(contract: ModelContract, samples: int, seed: int) -> tuple[Tensor, ...]:
    """As `blank_inputs`, of random numbers that the seed alone decides: normal ones, or those of entries."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    drawn: list[Tensor] = []
    for each in contract.inputs:
        if each.dtype == "int32":
            entries = len(cast("list[str]", each.preprocessing["vocabulary"]))
            numbers = torch.randint(1, entries, (samples, *each.shape), generator=generator)
            drawn.append(numbers.to(torch.int32))
        else:
            drawn.append(torch.randn(samples, *each.shape, generator=generator))
    return tuple(drawn)


class Model(Component):
    @abstractmethod
    def build(self, contract: ModelContract) -> nn.Module:
        """A module from the contract's inputs, one argument each (N, ...), to logits float32 (N, classes).

        It need not read every input. It is freshly initialised from torch's global generator.

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
