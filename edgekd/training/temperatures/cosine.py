"""A temperature that moves along half a cosine."""

from __future__ import annotations

import math

from pydantic import Field

from edgekd.training.temperatures.base import Schedule, Temperature


class Cosine(Temperature):
    """A temperature that leaves its first value slowly, moves fastest half-way, and reaches its last one slowly.

    Source: the curve is that of Loshchilov and Hutter 2017, SGDR, equation 5.
    """

    start: float = Field(gt=0, le=1000, allow_inf_nan=False, description="temperature in the first step")
    end: float = Field(gt=0, le=1000, allow_inf_nan=False, description="temperature in the last step")

    def build(self) -> Schedule:
        def schedule(progress: float) -> float:
            share = (1 + math.cos(math.pi * progress)) / 2
            return share * self.start + (1 - share) * self.end

        return schedule
