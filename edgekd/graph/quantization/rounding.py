"""Numbers as int8 with a scale for each index of an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LARGEST = 127  # of int8; -128 is left out, so that the scale is the same on both sides
OPSET = 13  # the first whose DequantizeLinear knows channels
OVERHEAD_BYTES = 62  # at most, in a slim file: the DequantizeLinear, and what a scale takes beside its numbers


def quantized(weights: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 of the same shape, and one scale for each index of `axis`: weights ≈ int8 · scale, to half a scale.

    Source: Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
    eq. 1 with Z = 0.
    """
    others = tuple(each for each in range(weights.ndim) if each != axis)
    scale = (np.abs(weights).max(axis=others, keepdims=True) / LARGEST).astype(np.float32)
    scale[scale < np.finfo(np.float32).tiny] = 1  # a channel of zeros, or of what is as good as zero
    return np.rint(weights / scale).astype(np.int8), scale.reshape(-1)


def made_smaller(shape: tuple[int, ...], axis: int) -> bool:
    """Whether a float32 constant of this shape takes fewer bytes of a file as `quantized` has it."""
    elements = int(np.prod(shape))
    return elements + 4 * shape[axis] + OVERHEAD_BYTES < 4 * elements
