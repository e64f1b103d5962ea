from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgekd.errors import UsageError
from edgekd.records.run import RunRecord
from edgekd.report.runs import find_run, load_run

RECORD: dict[str, Any] = {
    "schema": 1,
    "edgekd": "0.1.0",
    "name": "small",
    "seed": 0,
    "created": "2026-01-02T03:04:05+00:00",
    "seconds": 1.5,
    "peak_rss_bytes": 1000,
    "machine": {"cpu": "some"},
    "pipeline": "small.yaml",
    "config": {},
    "targets": [],
    "stages": [],
}


def write(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True)
    path = folder / "run.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_first_schema_is_still_read(tmp_path: Path) -> None:
    """Pinned: a run.json of schema 1 as the first release wrote it, before any stage had finished."""
    record = load_run(write(tmp_path / "run", RECORD))
    assert isinstance(record, RunRecord)
    assert (record.schema_version, record.exit_code, record.error) == (1, 0, "")


def test_last_is_the_newest_of_all_pipelines(tmp_path: Path) -> None:
    write(tmp_path / "b" / "2026-01-02T03-04-05", RECORD)
    newest = write(tmp_path / "a" / "2026-01-02T03-04-06", RECORD)
    assert find_run("last", tmp_path) == newest
    assert find_run(str(newest.parent), tmp_path) == newest
    assert find_run(str(newest), tmp_path) == newest


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is not the record of a run"),
        ([1], "is not the record of a run"),
        ({"name": "x"}, "is not the record of a run"),
        ({**RECORD, "schema": 2}, "has schema version 2, this edgekd reads 1"),
        ({**RECORD, "seed": "x"}, "damaged at seed"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: object, what: str) -> None:
    path = write(tmp_path / "run", content)
    with pytest.raises(UsageError, match=what):
        load_run(path)


def test_no_runs_yet_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_run("last", tmp_path)
    assert caught.value.hint == "`edgekd run PIPELINE` makes one"
