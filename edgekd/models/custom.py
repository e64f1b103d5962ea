"""A network of the user's own: `use: file.py:callable`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ConfigDict

from edgekd.config.component import UserComponent
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn


class UserModel(UserComponent, Model):
    """`callable(contract, **options)` -> `nn.Module`, from inputs (N, *contract.shape) to one logit for each class.

    `contract.shape`: of one sample, without the batch; `contract.classes`: the names of the classes.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn

        module = self.function()(contract, **self.options)
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{self.use} returned {type(module).__name__}", hint="return a torch.nn.Module")
        return module
