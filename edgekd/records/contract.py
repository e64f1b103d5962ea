"""What goes into a model and what comes out, as data: made once from the data set, carried unchanged to the device."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from edgekd.records.base import Record

Size = Annotated[int, Field(ge=1, le=1 << 24)]


class InputSpec(Record):
    """One input of a model.

    dtype: float32, int32 for numbers of entries in a table, or uint8 for raw samples as they are, which the file itself
    normalises. shape: of one sample, without the batch. varies: whether the last dimension may be shorter, filled up
    with zeros without a change of the answer. preprocessing: what makes the input of raw samples, or what the file does
    with them (means, scales, names, vocabulary), in the modality's own words.
    """

    name: str = Field(min_length=1)
    dtype: Literal["float32", "int32", "uint8"] = "float32"
    shape: tuple[Size, ...] = Field(min_length=1)
    varies: bool = False
    preprocessing: dict[str, JsonValue] = {}

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """One of fixed shape is written as it was before there were others."""
        content: dict[str, JsonValue] = handler(self)
        return {key: value for key, value in content.items() if key != "varies" or value}


class ModelContract(Record):
    """modality: which part of `data/modalities/` knows the inputs. classes: the names of the output's columns. label:
    the output with the class's number (int64), "" where there is none."""

    kept_as: ClassVar[str] = "contract"

    modality: str
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    output: str = "logits"
    label: str = ""

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """Without a label it is written as it was before there were any."""
        content: dict[str, JsonValue] = handler(self)
        return {key: value for key, value in content.items() if key != "label" or value}

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample of the first input: what most architectures are built for."""
        return self.inputs[0].shape

    @property
    def raw(self) -> bool:
        """Whether its files take raw samples."""
        return self.inputs[0].dtype == "uint8"
