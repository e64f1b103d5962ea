"""What goes into a model and what comes out, as data: made once from the data set, carried unchanged to the device."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from edgekd.records.base import Record

Size = Annotated[int, Field(ge=1, le=1 << 24)]


class InputSpec(Record):
    """One input of a model.

    shape: of one sample, without the batch. preprocessing: what the modality needs to make the input of raw samples
    (means, scales, names), in its own words; only the modality reads it.
    """

    name: str = Field(min_length=1)
    dtype: Literal["float32"] = "float32"
    shape: tuple[Size, ...] = Field(min_length=1)
    preprocessing: dict[str, JsonValue] = {}


class ModelContract(Record):
    """modality: which file of `data/modalities/` knows the inputs. classes: the names of the output's columns."""

    kept_as: ClassVar[str] = "contract"

    modality: str
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    output: str = "logits"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample of the first input: what most architectures are built for."""
        return self.inputs[0].shape
