"""One shape of the student: what stands under `student.model`, and the network that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from edgekd.config.component import Component, Use
from edgekd.config.section import first_said
from edgekd.errors import ConfigError
from edgekd.models.base import Model

Shape: TypeAlias = dict[str, JsonValue]
"""What stands under `student.model`: `use` and options."""

_MODEL: TypeAdapter[Component] = TypeAdapter(Annotated[Component, Use("models")])


@dataclass(frozen=True)
class Operation:
    """One operator as the network has it, without what the runtime joins to it (batch norm, activations).

    kind: as torch calls it, but convolutions by what they are: `conv`, `pointwise` (1 x 1) or `depthwise`. macs:
    multiply-accumulates; inputs, outputs: channels in and out, or units; places: height x width of the output;
    taken: numbers that it reads; weights: numbers in its weight.
    """

    kind: str
    macs: int
    inputs: int
    outputs: int
    places: int
    taken: int
    weights: int

    @property
    def given(self) -> int:
        """Numbers that it writes."""
        return self.outputs * self.places


@dataclass(frozen=True)
class Network:
    """What a shape makes: the number of weights and biases of its file, and its operators in the order of running."""

    parameters: int
    operations: tuple[Operation, ...]

    @property
    def macs(self) -> int:
        return sum(each.macs for each in self.operations)


def model_of(shape: Mapping[str, JsonValue], folder: Path) -> Model:
    """The architecture with its options; paths in it are meant relative to `folder`.

    Raises:
        ConfigError: there is no such architecture, or not with such options.
    """
    try:
        return cast("Model", _MODEL.validate_python(dict(shape), context={"folder": folder}))
    except ValidationError as error:
        told, hint = first_said(error)
        raise ConfigError(f"{shape.get('use', 'a shape')}: {told}", hint=hint) from None
