"""The form of a manifest as a JSON Schema, which travels in the bundle: its verify.py has no other way to know it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgekd.records.bundle import Manifest
from edgekd.release.device.verify import KEYWORDS

TOLD = {"title", "description", "default"}
"""Keywords that refuse nothing."""


def manifest_schema() -> str:
    """The same text for the same records.

    Raises:
        ValueError: it has a keyword that verify.py does not know.
    """
    schema = _checked(Manifest.model_json_schema(by_alias=True))
    return json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n"


def _checked(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What refuses something, here and in every schema inside."""
    found = {keyword: value for keyword, value in schema.items() if keyword not in TOLD}
    if unknown := set(found) - KEYWORDS:
        raise ValueError(f"verify.py does not know {', '.join(sorted(unknown))}")
    for keyword, value in found.items():
        if keyword in ("$defs", "properties"):
            found[keyword] = {name: _checked(each) for name, each in value.items()}
        elif keyword in ("anyOf", "prefixItems"):
            found[keyword] = [_checked(each) for each in value]
        elif isinstance(value, dict):  # items, additionalProperties
            found[keyword] = _checked(value)
    return found
