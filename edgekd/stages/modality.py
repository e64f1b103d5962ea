"""What of a kind of input decides the result of a stage that feeds models with it."""

from __future__ import annotations

from pydantic import JsonValue

from edgekd.closure import closure
from edgekd.config.registry import MODALITIES


def modality_identity(name: str) -> JsonValue:
    """Its name and its code, for fingerprints: a kind is found by its name, so no import leads to its file."""
    return {"name": name, "code": dict(closure(MODALITIES.members[name]))}
