"""What a network from elsewhere wants of its input, where that is not what the data says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self, cast

from pydantic import Field, model_validator

from edgekd.config.section import Section
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract


@dataclass(frozen=True)
class Normalisation:
    """By channel: (pixel / 255 - mean) / std, or the feature itself so."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def from_data(self, contract: ModelContract) -> tuple[list[float], list[float]]:
        """scale and offset by channel: x · scale + offset is what the network wants, x what the contract feeds.

        Raises:
            ConfigError: it does not fit the contract.
        """
        if len(contract.inputs) != 1:
            raise ConfigError(f"the data has {len(contract.inputs)} inputs, and mean and std are for one")
        preprocessing = contract.inputs[0].preprocessing
        mean, std = (cast("list[float]", preprocessing[key]) for key in ("mean", "std"))
        if not len(mean) == len(self.mean) == len(self.std):
            raise ConfigError(
                f"mean and std have {len(self.mean)} and {len(self.std)} numbers, the data has {len(mean)} channels"
            )
        scale = [given / wanted for given, wanted in zip(std, self.std, strict=True)]
        offset = [(given - wanted) / by for given, wanted, by in zip(mean, self.mean, self.std, strict=True)]
        return scale, offset


class OwnNormalisation(Section):
    """The options of a component with such a network.

    What it was normalised with in its own training is given by `mean` and `std`; without them it is taken to be what
    the data says.
    """

    mean: tuple[float, ...] | None = Field(
        None,
        description="of its input, by channel, of pixels from 0 to 1: [0.485, 0.456, 0.406] for many ImageNet models",
    )
    std: tuple[Annotated[float, Field(gt=0)], ...] | None = Field(
        None, description="standard deviation of its input, by channel: [0.229, 0.224, 0.225] for many ImageNet models"
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together")
        return self

    @property
    def normalisation(self) -> Normalisation | None:
        """None where the network is fed what the data says."""
        return None if self.mean is None or self.std is None else Normalisation(self.mean, self.std)
