"""What an 8-bit file computes, as data: its operators, what it rounds where, and the numbers it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Operation:
    """One of ONNX's operators, by its name there; an input that is left out is empty."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Levels:
    """The values that an activation is rounded to: scale · (q - zero_point), lowest <= q <= highest."""

    scale: float
    zero_point: int
    lowest: int
    highest: int

    def ends(self, scale: float) -> tuple[float, float]:
        """The lowest and the highest value for another scale."""
        return scale * (self.lowest - self.zero_point), scale * (self.highest - self.zero_point)


@dataclass(frozen=True)
class RoundedActivation:
    """Several that share their levels name the same ones."""

    tensor: str
    levels: str


@dataclass(frozen=True)
class RoundedWeight:
    """The constant `source` in whole steps of its largest number divided by `largest`; axis: of the channels, each of
    which has a step of its own; None: the whole has one."""

    source: str
    axis: int | None
    largest: int


@dataclass(frozen=True)
class RoundedBias:
    """The constant `source` in steps of the product of those of an activation and a weight; `weight`: the tensor."""

    source: str
    levels: str
    weight: str


@dataclass(frozen=True)
class Arithmetic:
    """Of a whole network; the keys of activations, weights and biases are the tensors that operations read.

    learned: the constants, by name, that may be changed; the others are parts of the function.
    """

    inputs: tuple[str, ...]
    output: str
    operations: tuple[Operation, ...]
    constants: Mapping[str, NDArray[np.generic]]
    learned: tuple[str, ...]
    levels: Mapping[str, Levels]
    activations: Mapping[str, RoundedActivation]
    weights: Mapping[str, RoundedWeight]
    biases: Mapping[str, RoundedBias]
