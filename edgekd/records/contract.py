"""What goes into a model and what comes out, as data: made once from the data set, carried unchanged to the device."""

from __future__ import annotations

from typing import Literal

from edgekd.records.base import Record


class ImageInput(Record):
    """One image input: uint8 HWC pixels become `(pixel / 255 - mean) / std`, float32, in NCHW order."""

    kind: Literal["image"] = "image"
    name: str = "image"
    dtype: Literal["float32"] = "float32"
    layout: Literal["NCHW"] = "NCHW"
    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), without the batch."""
        return (self.channels, self.height, self.width)


class ModelContract(Record):
    inputs: tuple[ImageInput, ...]
    classes: tuple[str, ...]
    output: str = "logits"

    @property
    def image(self) -> ImageInput:
        """The only input of an image model."""
        (only,) = self.inputs
        return only
