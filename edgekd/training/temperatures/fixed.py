"""One temperature throughout."""

from __future__ import annotations

from pydantic import Field

from edgekd.training.temperatures.base import Schedule, Temperature


class Fixed(Temperature):
    """The same temperature in every step."""

    value: float = Field(
        gt=0, le=1000, allow_inf_nan=False, description="the temperature; 1 leaves outputs as they are"
    )

    def build(self) -> Schedule:
        return lambda _progress: self.value
