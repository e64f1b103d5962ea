"""What of a kind of input decides the result of a stage: it is found by its name, so no import leads to its file."""

from __future__ import annotations

from pydantic import JsonValue

from edgekd.closure import closure
from edgekd.config.registry import MODALITIES


def feeding_identity(name: str) -> JsonValue:
    """Of a stage that feeds models with it: its name and its own file, which is all that preprocessing needs, for the
    same file does it on a device."""
    code = closure(MODALITIES.members[name])
    own = f"{MODALITIES.members[name].rpartition('.')[2]}.py"
    return {"name": name, "code": {path: digest for path, digest in code.items() if path.rpartition("/")[2] == own}}


def training_identity(name: str) -> JsonValue:
    """Of a stage that trains on it: augmentation too."""
    return {"name": name, "code": dict(closure(MODALITIES.members[name]))}
