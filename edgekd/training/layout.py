"""How inputs and weights lie in memory: channels last where there are four dimensions, on which the convolutions of the
processors at hand are faster."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from edgekd.data.modalities.base import Feeds


def tensors_of(feeds: Feeds) -> dict[str, Tensor]:
    """The same arrays as tensors, in the same order, without a copy."""
    return {name: torch.from_numpy(array) for name, array in feeds.items()}


def laid_out(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same values, those of four dimensions with the channels last in memory."""
    return {name: _laid_out(each) for name, each in inputs.items()}


def lay_out(module: nn.Module) -> None:
    """Moves the module's weights of four dimensions so, in place."""
    for each in module.parameters():
        each.data = _laid_out(each.data)


def _laid_out(tensor: Tensor) -> Tensor:
    # `contiguous` leaves a tensor of one channel as it is, and a convolution of it gives channels first from there on
    return tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
