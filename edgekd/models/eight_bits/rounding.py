"""Rounding as 8-bit inference does it, with gradients to learn by.

Source: Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
sections 2 and 3; the gradient of a step is that of Esser et al. 2020, Learned Step Size Quantization, equation 3, which
follows from Bengio et al. 2013's straight-through estimator: d round(v) / dv = 1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

SMALLEST_STEP = torch.finfo(torch.float32).tiny  # below it the quantizer takes 1


class _Round(torch.autograd.Function):
    """Half to even; the gradient passes through."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        return values.round()

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def rounded(values: Tensor) -> Tensor:
    result: Tensor = _Round.apply(values)
    return result


def rounded_activation(values: Tensor, step: Tensor, zero_point: int, lowest: int, highest: int) -> Tensor:
    """step · (clamp(round(x / step) + z, lowest, highest) - z); zero stays exactly zero."""
    return step * rounded(values / step).clamp(lowest - zero_point, highest - zero_point)


def weight_step(weights: Tensor, axis: int | None, largest: int) -> Tensor:
    """max |w| / largest, of the whole () or of each channel (C,); 1 where that is nothing."""
    others = [each for each in range(weights.ndim) if each != axis]
    peak = weights.abs().amax(dim=others) if others else weights.abs()
    step = peak / largest
    return torch.where(step < SMALLEST_STEP, torch.ones_like(step), step)


def rounded_weight(weights: Tensor, step: Tensor, axis: int | None) -> Tensor:
    """step · round(w / step), with a step for each channel of the axis, if there is one."""
    if axis is not None:
        step = step.reshape([-1 if each == axis else 1 for each in range(weights.ndim)])
    return step * rounded(weights / step)


def rounded_bias(bias: Tensor, step: Tensor) -> Tensor:
    """step · round(b / step), as int32 holds it: what float32 cannot tell apart there makes no difference here."""
    largest = math.ldexp(1, 31)
    return step * rounded(bias / step).clamp(-largest, largest)
