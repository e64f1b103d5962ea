"""A temperature that moves along a line."""

from __future__ import annotations

from pydantic import Field

from edgekd.training.temperatures.base import Schedule, Temperature


class Linear(Temperature):
    """A temperature that moves along a line from the first step to the last."""

    start: float = Field(gt=0, le=1000, allow_inf_nan=False, description="temperature in the first step")
    end: float = Field(gt=0, le=1000, allow_inf_nan=False, description="temperature in the last step")

    def build(self) -> Schedule:
        return lambda progress: (1 - progress) * self.start + progress * self.end
