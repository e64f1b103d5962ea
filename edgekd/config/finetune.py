"""How a candidate is trained in 8 bits before it is made."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from edgekd.config.section import Section


class FinetuneOptions(Section):
    """What differs from the training that the network had."""

    epochs: int = Field(ge=1, le=1000, description="passes over the training samples, in 8 bits")
    learning_rate: float = Field(
        5e-4, gt=0, le=1, allow_inf_nan=False, description="largest learning rate, of AdamW whatever trained it before"
    )


def _of_epochs(value: object) -> object:
    """A number stands for epochs."""
    return {"epochs": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _or_epochs(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "integer", "minimum": 1}, *schema["anyOf"]]


Finetune = Annotated[
    FinetuneOptions | None,
    BeforeValidator(_of_epochs),
    Field(
        description="trains the network further with all that is rounded in this file rounded, by the losses and "
        "teachers that it had: a number of epochs, or these options; by default it is only repaired",
        json_schema_extra=_or_epochs,
    ),
]
