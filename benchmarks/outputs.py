"""Runs of the command in benchmarks, and where the store keeps what they made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from edgekd.pipeline.store import store_root


def stored(record: dict[str, Any], stage: str, port: str) -> Path:
    """The file of an output; record: what run.json says."""
    artifact: dict[str, str]
    (artifact,) = [each["outputs"][port] for each in record["stages"] if each["id"] == stage]
    name = artifact["digest"]
    return store_root() / "blobs" / name[:2] / f"{name}.{artifact['kind']}"


def record_of(folder: Path, *arguments: str) -> dict[str, Any]:
    """What run.json says of `edgekd run` with these arguments in an empty folder, with the store that is used here."""
    environment = {**os.environ, "EDGEKD_STORE": str(store_root().resolve())}
    subprocess.run(
        [sys.executable, "-m", "edgekd", "run", *arguments], cwd=folder, env=environment, check=True, stdout=2
    )
    (path,) = folder.glob("runs/*/*/run.json")
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def record_until(folder: Path, pipeline: dict[str, Any], target: str, until: str) -> dict[str, Any]:
    """The same of a pipeline whose only target file, `here.yaml`, is `target`."""
    (folder / "here.yaml").write_text(target)
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(pipeline))
    return record_of(folder, "pipeline.yaml", "--until", until)
