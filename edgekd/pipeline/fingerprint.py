"""The identity of a stage's result: everything that can change it, hashed; and what changed, in words."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from edgekd.pipeline.stage import Stage
from edgekd.records.base import digest

PACKAGE = Path(__file__).resolve().parent.parent
SOURCE = (".py", ".c")


def preimage(stage: Stage, inputs: Mapping[str, str], seed: int) -> dict[str, JsonValue]:
    """What decides a stage's result: options, seed, input digests, code, library versions, environment."""
    return {
        "record": "edgekd.stage/1",
        "stage": stage.name,
        "options": stage.identity(),
        "seed": seed if stage.seeded else None,
        "inputs": dict(inputs),
        "code": {name: code_digest(name) for name in stage.code},
        "libraries": {name: _version(name) for name in stage.libraries},
        "environment": stage.environment(),
    }


def fingerprint(image: Mapping[str, JsonValue]) -> str:
    """The sha256 (hex) of a pre-image."""
    return digest(dict(image))


@functools.cache
def code_digest(name: str) -> str:
    """The sha256 (hex) of a source file of edgekd, or of every one in a folder, by name and content."""
    root = PACKAGE / name
    hasher = hashlib.sha256()
    for path in [root] if root.is_file() else sorted(each for each in root.rglob("*") if each.suffix in SOURCE):
        hasher.update(f"{path.relative_to(PACKAGE).as_posix()}\0{path.stat().st_size}\0".encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]


def differences(before: JsonValue, after: JsonValue, at: str = "") -> Iterator[str]:
    """Each difference of two pre-images, as `options.temperature 4.0 -> 6.0`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key, "absent"), after.get(key, "absent"), f"{at}.{key}" if at else key)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for position, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{at}.{position}")
    elif before != after:
        opaque = _is_digest(before) or _is_digest(after)
        yield f"{at} changed" if opaque else f"{at} {_shown(before)} -> {_shown(after)}"


def _is_digest(value: JsonValue) -> bool:
    return isinstance(value, str) and len(value) in (16, 64) and set(value) <= set("0123456789abcdef")


def _shown(value: JsonValue) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@functools.cache
def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
