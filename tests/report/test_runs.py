from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from edgekd.errors import UsageError
from edgekd.records.run import RunRecord
from edgekd.report.runs import find_run, load_run
from edgekd.report.terminal import print_run

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
    assert (record.schema_version, record.exit_code, record.error) == (2, 0, "")


def test_a_finished_run_of_the_first_schema_is_shown_as_one_of_today(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[1] / "golden" / "schema1" / "run.json"
    print_run(load_run(path), path.parent, Console(width=120))
    shown = capsys.readouterr().out
    assert "int8 (ships)" in shown
    assert "verdict: pass" in shown


def test_a_damaged_record_inside_a_run_is_named(tmp_path: Path) -> None:
    content = {**RECORD, "schema": 2, "records": {"network": {"teacher": {"parameters": "many"}}}}
    with pytest.raises(UsageError, match="damaged at parameters"):
        load_run(write(tmp_path / "run", content))


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
        ({**RECORD, "schema": 3}, "has schema version 3, this edgekd reads up to 2"),
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
