"""The whole search through the real command: shapes measured, trained, chosen and written, then run."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.command import place_with
from tests.fit.pipelines import PIPELINE


def test_a_searched_pipeline_runs_with_the_student_that_the_search_trained(tmp_path: Path) -> None:
    place = place_with(tmp_path, PIPELINE.replace("minutes: 60", "minutes: 1\n  shapes: 5\n  space: conv"))
    done = place.edgekd("fit", "p.yaml", timeout_s=500)
    assert done.returncode == 0, done.stderr
    assert "of 5 shapes measured are within {p50_ms: 5.0}" in done.stdout
    written = yaml.safe_load((tmp_path / "p.yaml").read_text())
    assert f"taken: {{use: conv, width: {written['student']['model']['width']}" in done.stdout
    assert place.edgekd("show").stdout.splitlines()[:6] == done.stdout.splitlines()[:6]
    run = place.edgekd("run", "p.yaml", "--until", "choose")
    assert run.returncode == 0, run.stderr
    # a search trains without a stage that only looks at what is about to be trained
    assert [each["id"] for each in place.last_run()["stages"] if each["state"] != "cached"] == ["preflight"]
