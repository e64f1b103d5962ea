"""What a network answers to images, as it will after export: eval mode, float32, no augmentation."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.data.base import LabelledImages
from edgekd.data.contract import normalise
from edgekd.records.contract import ImageInput


def predict_logits(
    model: nn.Module, images: NDArray[np.uint8], image: ImageInput, *, batch_size: int = 512
) -> NDArray[np.float32]:
    """logits: float32 (N, classes); images: uint8 (N, H, W, C). The model is left in the mode it was in."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = [
                model(network_input(images[start : start + batch_size], image)).numpy()
                for start in range(0, len(images), batch_size)
            ]
    finally:
        model.train(training)
    return np.concatenate(parts)


def count_right(model: nn.Module, data: LabelledImages, image: ImageInput) -> int:
    """How many of the images get their label as the largest logit."""
    return int((predict_logits(model, data.images, image).argmax(axis=1) == data.labels).sum())


def network_input(images: NDArray[np.uint8], image: ImageInput) -> torch.Tensor:
    """float32 (N, C, H, W), normalised, with the channels last in memory, which the convolutions here are faster on."""
    return torch.from_numpy(normalise(images, image)).contiguous(memory_format=torch.channels_last)
