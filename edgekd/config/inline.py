"""A value as YAML in one line, as it is written into a file and told to people."""

from __future__ import annotations

import yaml
from pydantic import JsonValue


def inline(value: JsonValue) -> str:
    """Without the end of the line, with keys in the order that they have."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")
