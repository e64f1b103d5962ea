"""What goes into a model and what comes out, as data: made once from the data set, carried unchanged to the device."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from edgekd.records.base import Record

Size = Annotated[int, Field(ge=1, le=1 << 16)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ImageInput(Record):
    """One image input: uint8 HWC pixels become `(pixel / 255 - mean) / std`, float32, in NCHW order."""

    kind: Literal["image"] = "image"
    name: str = "image"
    dtype: Literal["float32"] = "float32"
    layout: Literal["NCHW"] = "NCHW"
    channels: Size
    height: Size
    width: Size
    mean: tuple[Finite, ...]
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _one_mean_and_std_a_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"{self.channels} channels need as many means and stds, not {len(self.mean)} and {len(self.std)}"
            )
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), without the batch."""
        return (self.channels, self.height, self.width)


class ModelContract(Record):
    inputs: tuple[ImageInput, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    output: str = "logits"

    @property
    def image(self) -> ImageInput:
        """The only input of an image model."""
        (only,) = self.inputs
        return only
