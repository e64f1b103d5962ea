"""The section `quantize`: what could ship of the student."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from edgekd.config.component import Component, Use
from edgekd.config.section import Section

# validated, as what a file says is; what cannot win on a target is not tried there
AUTO_CANDIDATES: Any = [
    "fp32",
    "fp16_weights",
    "int8_weights",
    {"use": "int8_weights", "layout": "nchw"},
    "padded",
    "int8_qdq",
    {"use": "int8_qdq", "activations": "int8"},
    {"use": "int8_qdq", "per_channel": False},
    {"use": "int8_qdq", "activations": "int8", "per_channel": False},
    {"use": "int8_qdq", "reduce_range": True},
    "int8_qoperator",
    {"use": "int8_qoperator", "reduce_range": True},
]


def _every_kind(candidates: object) -> object:
    """The candidates that `auto` stands for."""
    if isinstance(candidates, str) and candidates != "auto":
        raise ValueError("expected a list of schemes, or auto\n`edgekd list schemes` prints them")
    return AUTO_CANDIDATES if candidates == "auto" else candidates


def _or_auto(schema: dict[str, Any]) -> None:
    listed = {key: schema.pop(key) for key in ("type", "items", "minItems")}
    schema["anyOf"] = [{"const": "auto"}, listed]


class QuantizeSection(Section):
    """What could ship of the student, and how one of them is chosen on each target."""

    candidates: Annotated[list[Annotated[Component, Use("schemes")]], BeforeValidator(_every_kind)] = Field(
        "auto",
        validate_default=True,
        min_length=1,
        description="the files to choose from; auto: one of every kind that could be the best somewhere",
        json_schema_extra=_or_auto,
    )
    objective: Literal["latency", "size"] = Field("latency", description="what the chosen file has the least of")
    max_accuracy_drop: float = Field(
        0.003, ge=0, le=1, description="accuracy on validation samples that it may lose against the fp32 file"
    )
    repair: Literal["auto", "none"] = Field(
        "auto",
        description="what becomes of an 8-bit file that loses more: other calibration, corrected biases, equalised "
        "channels, chosen rounding and layers in float are tried in turn until it does not; or nothing",
    )
