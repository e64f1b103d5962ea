"""The model contract, made once from the training images, and the preprocessing that it describes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ConfigError
from edgekd.records.contract import ImageInput, ModelContract


def contract_from(images: NDArray[np.uint8], classes: tuple[str, ...]) -> ModelContract:
    """The contract of models for these training images; images: uint8 (N, H, W, C).

    Mean and standard deviation are of pixel / 255, by channel, rounded to 6 digits.

    Raises:
        ConfigError: a channel has the same value everywhere, so it cannot be brought to unit variance.
    """
    _, height, width, channels = images.shape
    # from histograms: exact, and no float copy of the images is ever made
    counts = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256) / 255.0
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    for channel in range(channels):
        if std[channel] < 1e-6:
            raise ConfigError(
                f"channel {channel} has the same value in every pixel of every training image",
                hint="check the images; `color: gray` reads colour images as grey",
            )
    image = ImageInput(
        channels=channels,
        height=height,
        width=width,
        mean=tuple(round(float(each), 6) for each in mean),
        std=tuple(round(float(each), 6) for each in std),
    )
    return ModelContract(inputs=(image,), classes=classes)


def normalise(images: NDArray[np.uint8], image: ImageInput) -> NDArray[np.float32]:
    """(pixel / 255 - mean) / std; images: uint8 (N, H, W, C) -> float32 (N, C, H, W)."""
    count, height, width, channels = images.shape
    inputs = np.empty((count, channels, height, width), dtype=np.float32)
    values = np.arange(256) / 255.0
    for channel, (mean, std) in enumerate(zip(image.mean, image.std, strict=True)):
        table = ((values - mean) / std).astype(np.float32)
        inputs[:, channel] = table[images[..., channel]]
    return inputs
