"""Small JSON files in the user's cache, for what takes long to find again: losing one costs time, never correctness."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs


def recall(name: str) -> dict[str, Any]:
    """What was kept under the name; empty where that is nothing, or no JSON object."""
    try:
        content = json.loads(_path(name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def keep(name: str, content: Mapping[str, Any]) -> None:
    """Keeps it for later processes, where the cache folder lets it; whole or not at all."""
    path = _path(name)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)


def _path(name: str) -> Path:
    return Path(platformdirs.user_cache_dir("edgekd")) / name
