"""What every way of starting gives: weights of a fresh network from those of another."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.config.component import Component
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Taken:
    """tensors: how many the network has; fresh: those that stayed as they were, by name, each with the reason."""

    tensors: int
    fresh: Mapping[str, str]


class Initialiser(Component):
    """Where the weights of a network come from before it is trained."""

    network: str = Field(description="the network that it starts from, by name; one that is trained or loaded here")

    @abstractmethod
    def fill(
        self, student: nn.Module, teacher: nn.Module, inputs: Sequence[Tensor], seed: int, contract: ModelContract
    ) -> Taken:
        """Puts weights of the teacher into the fresh student, which is changed; inputs: such as both take,
        those of the contract.

        Raises:
            ConfigError: nothing of the teacher fits, or one of the two cannot be understood.
        """
