"""Tensors on their way to the device that computes."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def moved(values: Tensor | NDArray[Any], device: torch.device) -> Tensor:
    """The same values, from the processor's memory, in that of the device, without waiting for what it is busy with."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
