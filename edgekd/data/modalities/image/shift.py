"""Images as they come under other conditions than those of the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shifted(images: NDArray[np.uint8], kind: str, amount: float, seed: int) -> NDArray[np.uint8]:
    """Changed copies; images: uint8 (N, H, W, C); kind and amount: an option of `ShiftOptions`.

    Turning interpolates linearly and goes on with the outermost pixels beyond the edge; the side comes from the seed.
    Source of the kinds: Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness, section 4; the amounts
    are free here.
    """
    from scipy import ndimage

    generator = np.random.default_rng(seed)
    if kind == "rotate":
        turned = np.empty_like(images)
        left = generator.random(len(images)) < 0.5
        for side, angle in ((left, amount), (~left, -amount)):
            turned[side] = ndimage.rotate(images[side], angle, axes=(2, 1), reshape=False, order=1, mode="nearest")
        return turned
    pixels = images.astype(np.float32)
    if kind == "noise":
        pixels += generator.standard_normal(pixels.shape, dtype=np.float32) * np.float32(255 * amount)
    elif kind == "blur":
        pixels = ndimage.gaussian_filter(pixels, (0, amount, amount, 0), mode="nearest")
    else:
        mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
        pixels = mean + (pixels - mean) * np.float32(amount)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
