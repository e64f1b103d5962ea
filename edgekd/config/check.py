"""A source checked against a pydantic model: the model, or every error with file:line and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgekd.config.section import did_you_mean, said
from edgekd.config.source import Source
from edgekd.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

PLAIN_WORDS = {
    "missing": "is missing",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "list_type": "expected a list",
    "tuple_type": "expected a list",
    "model_type": "expected keys with values",
    "dict_type": "expected keys with values",
}


def check(model: type[Model], source: Source, *, folder: Path | None = None) -> Model:
    """The validated model; relative paths in it are meant relative to `folder` (the file's own by default).

    Raises:
        ConfigError: the first error in the order of the file, the others in its `others`.
    """
    try:
        return model.model_validate(source.data, context={"folder": folder or source.path.resolve().parent})
    except ValidationError as error:
        found = [_translate(source, detail) for detail in _without_what_mistyped_keys_leave_missing(error.errors())]
        first, *others = sorted(found, key=lambda each: (_line(each.where), each.what.endswith("is missing")))
        raise ConfigError(first.what, hint=first.hint, where=first.where, others=tuple(others)) from None


def _without_what_mistyped_keys_leave_missing(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    told = {(each["loc"][:-1], each["ctx"]["hint"]) for each in details if each["type"] == "unknown_key"}
    return [
        each
        for each in details
        if each["type"] != "missing" or (each["loc"][:-1], did_you_mean(str(each["loc"][-1]))) not in told
    ]


def _translate(source: Source, detail: ErrorDetails) -> ConfigError:
    location = tuple(part for part in detail["loc"] if isinstance(part, int) or not part.startswith("function-"))
    location = _inside(source.data, location)
    dotted = ".".join(_printable(str(part)) for part in location)
    where = source.where(location)
    kind = detail["type"]
    if kind in PLAIN_WORDS:
        found = "" if kind == "missing" else f", found {_shown(detail['input'])}"
        return ConfigError(f"{dotted}: {PLAIN_WORDS[kind]}{found}", where=where)
    message, hint = said(detail)
    if kind not in ("value_error", "component", "component_use", "unknown_key"):
        message = f"{message[0].lower()}{message[1:]}, found {_shown(detail['input'])}"
    if kind == "component_use":
        where = source.where((*location, "use"))
    return ConfigError(f"{dotted}: {message}" if dotted else message, hint=hint, where=where)


def _inside(data: object, location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The location without the union tags that pydantic mixes into it."""
    kept: list[str | int] = []
    node = data
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(node, dict) and (part in node or last):
            kept.append(part)
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            kept.append(part)
            node = node[part]
    return tuple(kept)


def _printable(key: str) -> str:
    """A key as it stands in the file, but that it cannot move the cursor or break the line."""
    return key if key.isprintable() else repr(key)[1:-1]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(where: str | None) -> int:
    line = (where or "").rpartition(":")[2]
    return int(line) if line.isdigit() else 0  # an option stands in no line
