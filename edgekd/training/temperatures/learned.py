"""A temperature that is learned against the student: it makes the term as hard as it can."""

from __future__ import annotations

from pydantic import Field

from edgekd.training.temperatures.base import Schedule, Temperature


class Learned(Temperature):
    """T = lowest + span · sigmoid(θ), where θ climbs the loss that the student descends; θ starts at 1.

    The gradient of θ is reversed with a strength that rises from 0 to 1 along half a cosine, so that the task is easy
    at first. Every term has a temperature of its own, also where they share the section's. θ is one number and so does
    not decay, in any optimizer: decay would pull T to the middle of its range. AdamW and Muon, whose steps do not
    depend on the size of a gradient, hardly feel the strength after the first steps; with SGD it is as published.

    Source: Li et al. 2023, Curriculum Temperature for Knowledge Distillation, the global version, with the start of the
    authors' code. There the strength changes once an epoch, over 10 of 240; here in every step.
    """

    lowest: float = Field(1.0, gt=0, le=500, allow_inf_nan=False, description="temperature that it stays above")
    span: float = Field(
        20.0, gt=0, le=500, allow_inf_nan=False, description="it stays below `lowest` and this together"
    )
    rising: float = Field(
        0.04,
        ge=0,
        le=1,
        description="share of the training over which the strength rises from 0 to 1; 0: it is 1 at once",
    )

    def build(self) -> Schedule:
        from edgekd.training.temperatures.adversary import Adversary

        return Adversary(self.lowest, self.span, self.rising)
