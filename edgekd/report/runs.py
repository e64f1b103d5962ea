"""Where finished runs are, and their records."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from edgekd.errors import UsageError
from edgekd.records.run import RunRecord

SCHEMA = 1  # every version up to this one is read


def find_run(name: str, runs: Path) -> Path:
    """The run.json of `last` (the newest below `runs`), of a run's folder, or itself.

    Raises:
        UsageError: there is none.
    """
    if name == "last":
        every = sorted(runs.glob("*/*/run.json"), key=lambda path: path.parent.name)
        if not every:
            raise UsageError(f"no runs below {runs}/", hint="`edgekd run PIPELINE` makes one")
        return every[-1]
    path = Path(name)
    candidates = [path, path / "run.json"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UsageError(f"no run at {name}", hint="give a folder below runs/, its run.json, or `last`")


def load_run(path: Path) -> RunRecord:
    """The record in a run.json.

    Raises:
        UsageError: it is none, or of a newer version of edgekd.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema"]
    except (OSError, UnicodeDecodeError, ValueError, TypeError, KeyError):
        raise UsageError(f"{path} is not the record of a run") from None
    if version != SCHEMA:
        raise UsageError(
            f"{path} has schema version {version}, this edgekd reads {SCHEMA}", hint="update edgekd to read it"
        )
    try:
        return RunRecord.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: damaged at {at}: {first['msg']}") from None
