"""Any of torchvision's classification networks, by name, fitted to the images and classes at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.config.section import nearest
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract

if TYPE_CHECKING:
    from torch import nn

WITHOUT_SIDE_OUTPUTS = frozenset({"googlenet", "inception_v3"})  # in training these would give three outputs


class TorchvisionModel(Model):
    """A torchvision classification network such as resnet18 or mobilenet_v3_small, with fresh weights."""

    name: str = Field(description="torchvision's name of the network")
    size: int | None = Field(
        None, ge=1, le=1024, description="scales the images inside the network to this height and width"
    )

    def build(self, contract: ModelContract) -> nn.Module:
        from torch import nn
        from torchvision import models

        channels, height, _ = self.image_shape(contract)
        known = models.list_models(module=models)
        if self.name not in known:
            raise ConfigError(f"torchvision has no classification model {self.name!r}", hint=nearest(self.name, known))
        options: dict[str, int | bool] = {"num_classes": len(contract.classes)}
        if self.name in WITHOUT_SIDE_OUTPUTS:
            options |= {"aux_logits": False, "init_weights": True}
        if self.name.startswith("vit_"):
            options["image_size"] = self.size or height
        network: nn.Module = models.get_model(self.name, weights=None, **options)
        _read_channels(network, channels)
        if self.size is None:
            return network
        return nn.Sequential(nn.Upsample((self.size, self.size), mode="bilinear"), network)


def _read_channels(network: nn.Module, channels: int) -> None:
    """Replaces the first convolution by one for images of so many channels."""
    from torch import nn

    convolutions = {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d)}
    name, first = next(iter(convolutions.items()))
    if first.in_channels == channels:
        return
    fitted = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]  # torch declares tuples of any length here and takes pairs
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, fitted)
