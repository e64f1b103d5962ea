"""Random changes to a whole batch of images at once: some thirty times faster than one image at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.image import DRAWN
from edgekd.data.modalities.noise import noise_like
from edgekd.data.modalities.spans import spans
from edgekd.data.tensors import moved


class ImageAugment:
    """Changed copies of the input `name`: normalised images, float32 (N, C, H, W).

    Every image is computed by itself and from its own row of numbers, with the same operations whatever batch it
    is in, so that it comes out the same to the bit.

    black: float32 (1, C, 1, 1), the normalised value of a black pixel; it fills what comes in from outside.
    """

    def __init__(self, name: str, options: AugmentOptions, black: NDArray[np.float32]) -> None:
        self.name = name
        self.options = options
        self.black = torch.from_numpy(black)

    def __call__(self, inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        """numbers: float64 (N, len(DRAWN)) in [0, 1)."""
        options, images = self.options, inputs[self.name]
        black = moved(self.black, images.device)
        drawn = {each: numbers[:, column] for column, each in enumerate(DRAWN)}
        height, width = images.shape[2:]
        if options.crop or options.flip:
            images = _moved(images, drawn, options)
        if options.shift or options.rotate or options.scale or options.shear:
            images = _sampled(images - black, _theta(drawn, options, height, width), "zeros").add_(black)
        elif options.resize:
            images = _sampled(images, _theta(drawn, options, height, width), "border")
        if options.noise:
            images = noise_like(images, drawn["noise"]).mul_(options.noise).add_(images)
        if options.erase:
            erased = _squares(drawn, options.erase, images)
            images = (images * (1 - erased)).addcmul_(black, erased)  # exact; torch.where takes three times as long
        return {**inputs, self.name: images}


def _moved(images: Tensor, drawn: dict[str, NDArray[np.float64]], options: AugmentOptions) -> Tensor:
    """Each image shifted by whole pixels, mirrored beyond its edges, and flipped.

    A black edge would be something that no test image has and that a network learns to see; where the edges of the
    images are black anyway, both are the same. Jordan 2024, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, mirrors
    too.
    """
    count, channels, height, width = images.shape
    rows, columns = (
        _shifted(drawn[name], options.crop, length) for name, length in (("crop_y", height), ("crop_x", width))
    )
    if options.flip:
        columns = np.where(drawn["flip"][:, None] < 0.5, columns[:, ::-1], columns)
    places = moved(rows * width, images.device)[:, :, None] + moved(columns, images.device)[:, None, :]
    places = places.reshape(count, 1, -1).expand(-1, channels, -1)
    return images.reshape(count, channels, -1).gather(2, places).reshape(images.shape)


def _shifted(numbers: NDArray[np.float64], most: int, length: int) -> NDArray[np.int64]:
    """Which of `length` pixels each pixel comes from when they move by up to `most`: int64 (N, length)."""
    by = np.floor(numbers * (2 * most + 1)).astype(np.int64) - most
    last = length - 1
    places: NDArray[np.int64] = last - np.abs(last - np.abs(by[:, None] + np.arange(length)))
    return places


def _theta(drawn: dict[str, NDArray[np.float64]], options: AugmentOptions, height: int, width: int) -> Tensor:
    """How each image is shifted, rotated, scaled and sheared, and which part of it is shown: float32 (N, 2, 3).

    They lead from coordinates of the output to coordinates of the input, which run from -1 to 1 along each axis.
    """
    angle = _between(drawn["angle"], np.radians(options.rotate))
    shear = np.tan(_between(drawn["shear"], np.radians(options.shear)))
    size = 1 + _between(drawn["scale"], options.scale)
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    theta = np.empty((len(angle), 2, 3))
    theta[:, 0, 0] = cosine
    theta[:, 0, 1] = (cosine * shear - sine) * (height / width)
    theta[:, 1, 0] = sine * (width / height)
    theta[:, 1, 1] = sine * shear + cosine
    theta[:, 0, 2] = _between(drawn["shift_x"], 2 * options.shift / width)
    theta[:, 1, 2] = _between(drawn["shift_y"], 2 * options.shift / height)
    if options.resize is not None:
        part = _parts(drawn, options.resize, height, width)
        theta *= part[:, :, None]
        theta[:, 0, 2] += _between(drawn["resize_x"], 1 - part[:, 0])
        theta[:, 1, 2] += _between(drawn["resize_y"], 1 - part[:, 1])
    return torch.from_numpy(theta.astype(np.float32))


def _parts(
    drawn: dict[str, NDArray[np.float64]], areas: tuple[float, float], height: int, width: int
) -> NDArray[np.float64]:
    """Which share of width and height a random crop has: float64 (N, 2).

    The area is always what was drawn: an aspect ratio with which it would not fit gives way to the nearest that does.
    Source: Szegedy et al. 2015, Going Deeper with Convolutions, section 6.
    """
    area = areas[0] + drawn["resize_area"] * (areas[1] - areas[0])
    aspect = np.exp(_between(drawn["resize_aspect"], np.log(4 / 3)))
    aspect = np.clip(aspect * (height / width), area, 1 / area)  # now of the shares
    return np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1)


def _sampled(images: Tensor, theta: Tensor, outside: str) -> Tensor:
    """Each image as its theta says, bilinear; outside: `zeros`, or `border` to go on with the outermost pixels."""
    # torch's affine_grid multiplies matrices of the whole batch, which may round otherwise in another batch
    height, width = images.shape[2:]
    theta = moved(theta, images.device).reshape(-1, 2, 3, 1, 1)
    x, y = (
        (torch.arange(length, device=images.device) * 2 + 1) / length - 1  # the middle of each pixel
        for length in (width, height)
    )
    grid = theta[:, :, 0] * x + (theta[:, :, 1] * y[:, None] + theta[:, :, 2])
    return functional.grid_sample(
        images, grid.permute(0, 2, 3, 1), mode="bilinear", padding_mode=outside, align_corners=False
    )


def _squares(drawn: dict[str, NDArray[np.float64]], side: int, images: Tensor) -> Tensor:
    """1 where a square of `side` pixels lies in each image, 0 elsewhere: float32 (N, 1, H, W).

    The centre may be anywhere in the image, so that part of the square can lie outside it.
    Source: DeVries and Taylor 2017, Improved Regularization of CNNs with Cutout, section 3.2.
    """
    height, width = images.shape[2:]
    rows, columns = (
        moved(spans(drawn[name], length, side).astype(np.float32), images.device)
        for name, length in (("erase_y", height), ("erase_x", width))
    )
    return rows[:, None, :, None] * columns[:, None, None, :]


def _between(numbers: NDArray[np.float64], limit: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers in [0, 1) spread from -limit to limit."""
    return (numbers * 2 - 1) * limit
