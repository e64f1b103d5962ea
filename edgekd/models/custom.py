"""A network of the user's own: `use: file.py:callable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from edgekd.config.component import UserComponent
from edgekd.config.normalisation import OwnNormalisation
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class UserModel(OwnNormalisation, UserComponent, Model):
    """`callable(contract, **options)` -> `nn.Module`, from inputs (N, *contract.shape) to one logit for each class, or
    to an object that has them as `.logits`.

    `contract.shape`: of one sample, without the batch; `contract.classes`: the names of the classes. With `mean`, `std`
    and `input_size` the module is given what it wants, and its weights keep their names.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    input_size: int | None = Field(
        None, ge=1, le=4096, description="scales the images before the network to this height and width"
    )

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        from edgekd.models import adapting

        function = self.function()
        with self.called(hint="it is called with the contract and the options in the file"):
            module = function(contract, **self.options)
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{self.use} returned {type(module).__name__}", hint="return a torch.nn.Module")
        with self.called(does="gives a network that cannot be used"):
            dict(module.named_modules())  # torch keeps them in sets
            adapting.unwrap(module, self.use, len(contract.classes))
        if self.normalisation is not None:
            adapting.normalise(module, *self.normalisation.from_data(contract), dimensions=len(contract.shape))
        if self.input_size is not None:
            self.image_shape(contract)
            adapting.resize(module, self.input_size)
        return module
