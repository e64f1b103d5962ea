"""The identity of a stage's result: everything that can change it, hashed; and what changed, in words."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping

from pydantic import JsonValue

from edgekd.closure import SUFFIXES, closure
from edgekd.pipeline.stage import Stage
from edgekd.records.base import Record, canonical_json, digest


def preimage(stage: Stage, inputs: Mapping[str, str], seed: int) -> dict[str, JsonValue]:
    """What decides a stage's result: options, seed, inputs, code, record types, library versions, environment."""
    return {**made_of(stage, inputs, seed), "environment": stage.environment()}


def made_of(stage: Stage, inputs: Mapping[str, str], seed: int) -> dict[str, JsonValue]:
    """What decides a stage's result, whatever machine it runs on."""
    return {
        "record": "edgekd.stage/2",
        "stage": stage.name,
        "options": stage.identity(),
        "seed": seed if stage.seeded else None,
        "inputs": dict(inputs),
        "code": dict(closure(type(stage).__module__)),
        "records": {port: schema_digest(kind) for port, kind in stage.records.items()},
        "libraries": versions(stage.libraries),
    }


def fingerprint(image: Mapping[str, JsonValue]) -> str:
    """The sha256 (hex) of a pre-image."""
    return digest(dict(image))


@functools.cache
def schema_digest(kind: type[Record]) -> str:
    """What a record type is as data, in 16 digits (hex): its fields and their types, not how they are described."""
    return digest(_undescribed(kind.model_json_schema()))[:16]


def _undescribed(schema: JsonValue, *, by_name: bool = False) -> JsonValue:
    """A JSON schema without titles and descriptions; `by_name`: its keys are names, which may be such words."""
    if isinstance(schema, list):
        return [_undescribed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value
        if key == "default" and not by_name
        else _undescribed(value, by_name=not by_name and key in ("properties", "$defs"))
        for key, value in schema.items()
        if by_name or key not in ("title", "description")
    }


def differences(before: JsonValue, after: JsonValue, at: str = "") -> Iterator[str]:
    """Each difference of two pre-images, as `options.temperature 4.0 -> 6.0` or `code graph/slim.py changed`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            if key.endswith(SUFFIXES):
                yield from _of_source(before.get(key), after.get(key), f"{at.rpartition('.')[2]} {key}")
            else:
                below = f"{at}.{key}" if at else key
                yield from differences(before.get(key, "absent"), after.get(key, "absent"), below)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{at}.{position}")
    elif canonical_json(before) != canonical_json(after):
        opaque = _is_digest(before) or _is_digest(after)
        yield f"{at} changed" if opaque else f"{at} {_shown(before)} -> {_shown(after)}"


def _of_source(before: JsonValue, after: JsonValue, name: str) -> Iterator[str]:
    """Whose code it is needs no telling: the file does."""
    if before is None or after is None:
        yield f"{name} is {'new' if before is None else 'gone'}"
    elif before != after:
        yield f"{name} changed"


def _is_digest(value: JsonValue) -> bool:
    return isinstance(value, str) and len(value) in (16, 64) and set(value) <= set("0123456789abcdef")


def _shown(value: JsonValue) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def versions(distributions: Iterable[str]) -> dict[str, JsonValue]:
    """The installed version of each distribution, by name."""
    return {name: _version(name) for name in distributions}


@functools.cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
