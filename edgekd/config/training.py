"""How a network is trained: the options that `teacher` and `distill` share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from edgekd.config.component import Component, Use
from edgekd.config.section import Section

DEFAULT_OPTIMIZER: Any = "adamw"  # validated, as what a file says is

Share = Annotated[float, Field(gt=0, le=1)]


ClassName = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]  # `3` is a name too

MOST_SHARDS = 256


def _number_of_shards(value: object) -> object:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SHARDS):
        return value
    raise PydanticCustomError("shards", f"expected auto, or a whole number from 1 to {MOST_SHARDS}")


class AugmentOptions(Section):
    """Random changes to each training sample, others in every epoch; vectors take `noise` and `mixup` alone.

    Texts take `mask`, `replace` and `span`; sounds `gain`, `delay`, `noise`, `hide_time`, `hide_pitch` and `mixup`.

    `mixup` and `cutmix` mix two training samples, and with them the targets of losses that read labels. Where both are
    set, each sample gets one of the two, with equal probability.
    """

    shift: float = Field(0.0, ge=0, le=64, description="largest shift along each axis, in pixels")
    rotate: float = Field(0.0, ge=0, le=180, description="largest rotation, in degrees")
    scale: float = Field(0.0, ge=0, lt=1, description="largest relative change of size (0.1: 90 % to 110 %)")
    shear: float = Field(0.0, ge=0, le=60, description="largest shear along x, in degrees")
    resize: tuple[Share, Share] | None = Field(
        None,
        description="smallest and largest share of the area that a random crop keeps, which is brought back to the "
        "full size; its aspect ratio is 3:4 to 4:3",
    )
    crop: int = Field(
        0,
        ge=0,
        le=256,
        description="largest shift along each axis in whole pixels, without interpolation; the image goes on mirrored "
        "beyond its edges (2 to 4 for photographs of 32x32)",
    )
    flip: bool | Literal["alternating"] = Field(
        False,
        description="mirror left and right: true in half of the cases, alternating each image in every other epoch",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Gaussian noise on every feature or pixel, in standard deviations of the training samples",
    )
    erase: int = Field(0, ge=0, le=256, description="side of the square that is blanked at a random place, in pixels")
    mask: float = Field(0.0, ge=0, lt=1, description="share of the words of a text that are hidden behind one mark")
    replace: float = Field(
        0.0, ge=0, lt=1, description="share of the words of a text that another one of the training texts stands for"
    )
    span: float = Field(
        0.0, ge=0, le=1, description="in which share of the cases a text is cut to 1 to 5 words in a row"
    )
    gain: float = Field(0.0, ge=0, le=60, description="largest change of a sound's loudness, in decibels")
    delay: float = Field(0.0, ge=0, le=10, description="largest shift of a sound in time, in seconds")
    hide_time: float = Field(
        0.0, ge=0, lt=1, description="largest share of a sound's length that is blanked at a random time"
    )
    hide_pitch: float = Field(
        0.0, ge=0, lt=1, description="largest share of a sound's frequencies that is blanked at a random pitch"
    )
    mixup: float = Field(
        0.0, ge=0, le=100, description="add another sample, its share from Beta(mixup, mixup); 0.2 is customary"
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=100,
        description="put in a box of another image, its share of the area from Beta(cutmix, cutmix); 1 is customary",
    )

    @model_validator(mode="after")
    def _resizes_from_small_to_large(self) -> Self:
        if self.resize is not None and self.resize[0] > self.resize[1]:
            raise ValueError("resize takes the smallest share first, then the largest")
        return self


class TrainingOptions(Section):
    """An optimizer with a one-cycle learning rate; what the last epoch leaves is what is kept."""

    epochs: int = Field(ge=1, description="passes over the training samples")
    batch_size: int = Field(128, ge=1, description="samples in each step")
    optimizer: Annotated[Component, Use("optimizers")] = Field(
        DEFAULT_OPTIMIZER, validate_default=True, description="what makes new weights of gradients"
    )
    learning_rate: float = Field(
        3e-3, gt=0, le=10, allow_inf_nan=False, description="largest learning rate, reached after the warm-up"
    )
    warmup: float = Field(0.2, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(
        0.01,
        ge=0,
        allow_inf_nan=False,
        description="decay of the weights; decoupled, but with sgd part of the gradient",
    )
    averaging: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay of an exponential moving average of the weights, such as 0.999, which is what is kept then",
    )
    augment: AugmentOptions = Field(default_factory=AugmentOptions, description="random changes to the samples")
    second_view: AugmentOptions | None = Field(
        None,
        description="random changes for a second view of every sample in the same step; {} shows it unchanged; a step "
        "takes twice as long then",
    )
    views: int | None = Field(
        None,
        ge=1,
        description="how many differently changed copies of a sample there are; later epochs show them again, and a "
        "teacher answers each once; by default another one in each epoch",
    )
    leave_out: tuple[ClassName, ...] = Field(
        (), description="classes by name of which it is shown no sample; with a teacher it can learn them all the same"
    )
    shards: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_SHARDS)], BeforeValidator(_number_of_shards)
    ] = Field(
        "auto",
        description="parts that a batch is cut into, each computed in a thread of its own; auto: one a core, of 32 "
        "samples or more; batch norm sees one part",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the arithmetic; auto takes bfloat16 where the device is made for it (twice as fast)"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="what computes; auto takes a GPU that torch can use, else the processor"
    )

    @property
    def looks(self) -> int:
        """How often each sample of a batch is shown in a step."""
        return 1 if self.second_view is None else 2
