"""How a network is trained: the options that `teacher` and `distill` share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekd.config.section import Section


class AugmentOptions(Section):
    """Random changes to each training sample, others in every epoch; `noise` is for vectors, the rest for images."""

    shift: float = Field(0.0, ge=0, le=64, description="largest shift along each axis, in pixels")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation, in degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="largest relative change of size (0.1: 90 % to 110 %)")
    shear: float = Field(0.0, ge=0, le=60, description="largest shear along x, in degrees")
    flip: bool = Field(False, description="mirror left and right in half of the cases")
    noise: float = Field(
        0.0, ge=0, le=10, description="Gaussian noise on every feature, in standard deviations of the training samples"
    )
    erase: int = Field(0, ge=0, le=256, description="side of the square that is blanked at a random place, in pixels")


class TrainingOptions(Section):
    """AdamW with a one-cycle learning rate; the last epoch is what is kept."""

    epochs: int = Field(ge=1, description="passes over the training samples")
    batch_size: int = Field(128, ge=1, description="samples in each step")
    learning_rate: float = Field(
        3e-3, gt=0, le=10, allow_inf_nan=False, description="largest learning rate, reached after the warm-up"
    )
    warmup: float = Field(0.2, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, allow_inf_nan=False, description="decoupled (AdamW) decay of the weights")
    augment: AugmentOptions = Field(default_factory=AugmentOptions, description="random changes to the samples")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the arithmetic; auto takes bfloat16 where the processor is made for it (twice as fast)"
    )
