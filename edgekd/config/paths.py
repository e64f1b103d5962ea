"""Paths in a file are meant from the folder of the file that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    found = path if path.is_absolute() else Path(folder) / path
    if not found.is_file():
        raise ValueError(f"no such file: {path}")
    return found


BesideFile = Annotated[Path, AfterValidator(_beside_the_file)]
"""A file that must exist; a relative path is from the folder of the file that names it."""
