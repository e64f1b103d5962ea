"""Bytes that nobody vouches for, read within limits: pipeline and target files, manifests, records, a board's replies.

The parsers are the libraries'; here is what they do not refuse: pipes and devices, files without end, nesting that
exhausts the stack, keys that stand twice, numbers that are none.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import NoReturn

from pydantic import JsonValue

MIB = 2**20
DEEPEST = 100  # lists and mappings inside each other


class RefusedError(ValueError):
    """What cannot be taken, in words that follow the name of a file: `is ...`, `has ...`."""


def read_regular(path: Path, most: int) -> bytes:
    """A regular file's content of at most so many bytes.

    Raises:
        OSError: it cannot be opened or read.
        RefusedError: it is a pipe or a device, or larger.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe would wait for somebody to write
    with os.fdopen(handle, "rb") as stream:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(f"{path} is a folder")
        if not stat.S_ISREG(kind):
            raise RefusedError("is a pipe, a socket or a device, not a file")
        content = stream.read(most + 1)
    if len(content) > most:
        raise RefusedError(f"is larger than {most / MIB:g} MiB")
    return content


def parse_json(content: bytes) -> JsonValue:
    """A JSON text in UTF-8 of strict form: no key twice, no NaN or infinity, nested at most `DEEPEST` times.

    Raises:
        RefusedError: it is none.
    """
    try:
        found: JsonValue = json.loads(
            content.decode(), object_pairs_hook=_unique, parse_constant=_no_number, parse_float=_finite
        )
        depth = _depth(found)
    except UnicodeDecodeError:
        raise RefusedError("is not UTF-8") from None
    except RefusedError:
        raise
    except RecursionError:
        raise RefusedError("is nested too deep") from None
    except ValueError as error:
        raise RefusedError(f"is not JSON: {error}") from None
    if depth > DEEPEST:
        raise RefusedError("is nested too deep")
    return found


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in found:
            raise RefusedError(f"has the key {key!r} twice")
        found[key] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise RefusedError(f"has {text}, which is no number in JSON")


def _depth(value: JsonValue) -> int:
    """How many lists and mappings are inside each other; in a loop, since the stack is what runs out."""
    deepest, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        deepest += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return deepest
