"""The base of everything that a YAML file is checked against: strict keys, and the nearest right one named."""

from __future__ import annotations

import difflib
from types import NoneType
from typing import Any, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

PYDANTIC_TYPES = frozenset(get_args(core_schema.ErrorType))


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _name_the_nearest_key(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        cls._refuse_booleans(value)
        try:
            return handler(value)
        except ValidationError as error:
            details = [cls._with_known_keys(detail) for detail in error.errors()]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @classmethod
    def _refuse_booleans(cls, value: Any) -> None:
        """A boolean is no number: pydantic would take `true` for 1."""
        if not isinstance(value, dict):
            return
        wrong = [
            InitErrorDetails(type="float_type" if float in kinds else "int_type", loc=(key,), input=value[key])
            for name, field in cls.model_fields.items()
            if isinstance(value.get(key := field.alias or name), bool)
            and (kinds := _kinds(field.annotation)) & {int, float}
            and kinds <= {int, float, NoneType}
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)

    @classmethod
    def _with_known_keys(cls, detail: ErrorDetails) -> InitErrorDetails:
        location = detail["loc"]
        kind: str | PydanticCustomError = detail["type"]
        context = detail.get("ctx", {})
        if kind == "extra_forbidden" and len(location) == 1:
            known = [field.alias or name for name, field in cls.model_fields.items()]
            kind = PydanticCustomError("unknown_key", "unknown key\n{hint}", {"hint": nearest(str(location[0]), known)})
        elif kind not in PYDANTIC_TYPES:
            kind = PydanticCustomError(detail["type"], detail["msg"].replace("{", "{{").replace("}", "}}"), context)
        return InitErrorDetails(type=kind, loc=location, input=detail["input"], ctx=context)


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is a union of."""
    parts = get_args(annotation)
    return (
        {annotation} if isinstance(annotation, type) or not parts else {each for part in parts for each in _kinds(part)}
    )


def nearest(name: str, known: Any) -> str:
    """A hint: the most similar known name, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return did_you_mean(close[0]) if close else f"one of {', '.join(names)}"


def did_you_mean(name: str) -> str:
    return f"did you mean {name!r}?"


def said(detail: ErrorDetails) -> tuple[str, str | None]:
    """The words of an error, and the hint that a validator gave below them."""
    message, _, hint = detail["msg"].removeprefix("Value error, ").partition("\n")
    return message, hint or None


def first_said(error: ValidationError) -> tuple[str, str | None]:
    """The same of the first error, behind the keys that it is about."""
    first = error.errors()[0]
    message, hint = said(first)
    return ": ".join(map(str, (*first["loc"], message))), hint
