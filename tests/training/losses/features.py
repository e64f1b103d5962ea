"""Random features, and what a loss of two of them must bear."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Value = Callable[[Tensor, Tensor], Tensor]
Array = NDArray[np.float64]


def random(seed: int, *shape: int) -> Tensor:
    """float64, normal."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def rotation(seed: int, size: int) -> Tensor:
    """A random orthogonal matrix, float64."""
    orthogonal: Tensor = torch.linalg.qr(random(seed, size, size))[0]
    return orthogonal


def gradient(value: Value, student: Tensor, teacher: Tensor) -> tuple[float, Tensor]:
    """The value, and its gradient at the student's features."""
    student = student.clone().requires_grad_()
    found = value(student, teacher)
    (slope,) = torch.autograd.grad(found, student)
    return float(found.detach()), slope


def must_bear_anything(value: Value, *shape: int) -> None:
    """In float32, features of ±500, all 0, some 0, all alike, and a single sample: finite, and a gradient in bounds."""
    some = random(0, *shape).float()
    without = some.clone()
    without[::2] = 0
    alike = some[:1].expand(shape)
    extreme = 500 * some.sign()
    for student in (some, without, alike, extreme, torch.zeros(shape), some[:1].expand(shape) * 500):
        for teacher in (some, without, alike, -extreme, torch.zeros(shape)):
            for samples in (1, len(some)):
                found, slope = gradient(value, student[:samples], teacher[:samples])
                assert np.isfinite(found)
                assert torch.isfinite(slope).all()
                assert float(slope.abs().max()) < 1e4
