"""The common form of a record: frozen, strict about its fields, JSON in and out."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, JsonValue


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: JsonValue) -> bytes:
    """The one UTF-8 serialisation of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(value: JsonValue) -> str:
    """The sha256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
