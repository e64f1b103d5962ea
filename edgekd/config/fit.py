"""The section `fit`: which shapes of the student are tried, what one may cost, and for how long."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, JsonValue, ValidationError, model_validator

from edgekd.config.component import Component, Use
from edgekd.config.section import Section, first_said
from edgekd.config.select import Range

DEFAULT_CANDIDATES: Any = ["int8_weights", "int8_qdq"]
"""One that computes in float and one in 8 bits, each in about the fewest bytes that do."""
ARCHITECTURES = ("conv", "ds_cnn", "ds_resnet", "resnet", "mlp")
"""Those whose options vary without the user saying how."""


class Costs(Section):
    """What a file of the student may cost; only what is given is checked."""

    p50_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="median time of an inference, on targets that are not emulated"
    )
    instructions: int | None = Field(
        None, gt=0, description="executed for one inference, on emulated targets that count them"
    )
    model_bytes: int | None = Field(None, gt=0, description="size of the file")


class Budget(Costs):
    """What the student may cost on every target."""

    parameters: int | None = Field(None, gt=0, description="weights and biases")
    targets: dict[str, Costs] = Field(
        default_factory=dict, description="what it may cost otherwise on targets, by their names"
    )

    def place(self, target: str, name: str) -> tuple[str, ...]:
        """Below `fit.budget`, where the number stands that holds on a target: its own, or where it has none that for
        all."""
        own = self.targets.get(target, Costs())
        return (name,) if getattr(own, name) is None else ("targets", target, name)

    def on(self, target: str) -> Costs:
        """What holds on one target: its own numbers, and where it has none those for all."""
        own = self.targets.get(target, Costs())
        names = Costs.model_fields
        return Costs(**{name: v if (v := getattr(own, name)) is not None else getattr(self, name) for name in names})

    @model_validator(mode="after")
    def _demands_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("demands nothing\ngive p50_ms, instructions, model_bytes or parameters")
        return self


class Variation(Section):
    """Shapes of one architecture: what stands under `student.model`, where an option may have several values."""

    model_config = {"frozen": True, "extra": "allow"}

    use: str = Field(description="an architecture, or file.py:callable")

    @model_validator(mode="after")
    def _can_be_drawn(self) -> Self:
        for key, value in (self.__pydantic_extra__ or {}).items():
            if value == []:
                raise ValueError(f"{key}: has no value to choose from")
            if isinstance(value, dict) and "low" in value:
                try:
                    Range.model_validate(value)
                except ValidationError as error:
                    raise ValueError(f"{key}: {first_said(error)[0]}") from None
        return self

    @property
    def options(self) -> dict[str, JsonValue | Range]:
        """Of each option a value, a list of values to choose from, or a range."""
        extra: dict[str, Any] = dict(self.__pydantic_extra__ or {})
        return {
            key: Range.model_validate(value) if isinstance(value, dict) and "low" in value else value
            for key, value in extra.items()
        }


def _listed(space: object) -> object:
    """A single entry is a list of one, a name an entry without options of its own."""
    if space == "auto":
        return []
    if space == []:
        raise ValueError("is empty\nleave it out for all architectures that suit the input")
    entries = space if isinstance(space, list) else [space]
    return [{"use": each} if isinstance(each, str) else each for each in entries]


def _as_written(schema: dict[str, Any]) -> None:
    """An entry may be a name alone, and one entry stands without a list."""
    entry = {"anyOf": [{"type": "string"}, schema.pop("items")]}
    del schema["type"]
    schema["anyOf"] = [{"const": "auto"}, entry, {"type": "array", "items": entry}]


class FitSection(Section):
    """The student's shape is found by measuring untrained networks, then training the few that could be best."""

    budget: Budget
    space: Annotated[list[Variation], BeforeValidator(_listed)] = Field(
        "auto",
        validate_default=True,
        description="architectures to draw shapes of, each by its name or with options of its own: a value, a list of "
        "values, or {low, high, step}; auto: all that suit the input",
        json_schema_extra=_as_written,
    )
    minutes: float = Field(20.0, gt=0, allow_inf_nan=False, description="of measuring and training together")
    shapes: int = Field(300, ge=1, le=100_000, description="shapes that are measured at most")
    multiple: int = Field(
        8, ge=1, le=64, description="channels and units are multiples of this where the space is not the user's own"
    )
    candidates: list[Annotated[Component, Use("schemes")]] = Field(
        DEFAULT_CANDIDATES,
        validate_default=True,
        min_length=1,
        description="the files that are measured of each shape; as `quantize.candidates`",
    )
