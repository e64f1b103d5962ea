"""What of a kind of input decides the result of a stage: it is found by its name, so no import leads to its file."""

from __future__ import annotations

from pydantic import JsonValue

from edgekd.closure import closure
from edgekd.config.registry import MODALITIES


def feeding_identity(name: str) -> JsonValue:
    """Of a stage that feeds models with it: its name, the file that travels, which is all that preprocessing needs, and
    what says how samples become specs of inputs."""
    module = MODALITIES.members[name]
    place = module.removeprefix("edgekd.").replace(".", "/")
    own = {f"{place}.py", f"{place}/__init__.py", f"{place}/inputs.py"}
    return {"name": name, "code": {path: digest for path, digest in closure(module).items() if path in own}}


def training_identity(name: str) -> JsonValue:
    """Of a stage that trains on it: augmentation too."""
    return {"name": name, "code": dict(closure(MODALITIES.members[name]))}
