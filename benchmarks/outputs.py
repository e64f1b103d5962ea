"""Where the store keeps what a run made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.pipeline.store import store_root


def stored(record: dict[str, Any], stage: str, port: str) -> Path:
    """The file of an output; record: what run.json says."""
    artifact: dict[str, str]
    (artifact,) = [each["outputs"][port] for each in record["stages"] if each["id"] == stage]
    name = artifact["digest"]
    return store_root() / "blobs" / name[:2] / f"{name}.{artifact['kind']}"
