"""Paths in a file are meant from the folder of the file that names them, those of data also from the data folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import AfterValidator, ValidationInfo


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder", Path())
    found = path if path.is_absolute() else Path(folder) / path
    if not found.is_file():
        raise ValueError(f"no such file: {path}")
    return found


BesideFile = Annotated[Path, AfterValidator(_beside_the_file)]
"""A file that must exist; a relative path is from the folder of the file that names it."""


def data_folders() -> tuple[Path, ...]:
    """Where data is looked for, in order: EDGEKD_DATA, ./data, the user's cache."""
    own = os.environ.get("EDGEKD_DATA")
    return (*((Path(own),) if own else ()), Path("data"), cache_folder() / "data")


def find_data(path: Path, context: Any) -> Path | None:
    """Where a path of data or weights leads: from the folder of the file that names it, else from a data folder.

    context: pydantic's, of the validation.
    """
    folder = Path((context or {}).get("folder", Path()))
    for base in (folder, *data_folders()):
        try:
            if (base / path).exists():
                return (base / path).resolve()
        except (OSError, RuntimeError):  # a name that no file can have, links that lead in a circle
            continue
    return None


def cache_folder() -> Path:
    """The user's cache folder of edgekd; not created here."""
    return Path(platformdirs.user_cache_dir("edgekd"))
