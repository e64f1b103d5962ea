"""Settings that are chosen on validation samples, through the real command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Place, place_with

PIPELINE = """\
name: small
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 3}
student: {model: {use: conv, width: 4, stages: 2}}
distill:
  epochs: 3
  control: true
  losses: [{use: cross_entropy}, {use: kd}]
  select:
    trials: 5
    epochs: 1
    space:
      temperature: {low: 1, high: 8, log: true}
      losses.1: [{use: kd}, {use: dist}, {use: logit_regression}]
      learning_rate: [0.003, 0.01]
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which the student was trained with what was chosen."""
    here = place_with(tmp_path_factory.mktemp("select"), PIPELINE)
    done = here.edgekd("run", "p.yaml", "--until", "train")
    assert done.returncode == 0, done.stderr
    return here


@pytest.fixture(scope="module")
def record(place: Place) -> dict[str, Any]:
    return place.last_run()


def test_the_best_trial_decides_how_the_student_is_trained(record: dict[str, Any]) -> None:
    selection = record["records"]["selection"]["student"]
    trials = selection["trials"]
    assert len(trials) == 5
    assert selection["epochs"] == 1
    best = max(trials, key=lambda each: each["validation_correct"])
    terms = record["records"]["network"]["student"]["history"]["epochs"][-1]["terms"]
    assert set(terms) == {"cross_entropy", best["choice"]["losses.1"]["use"]}
    for network in ("student", "control"):
        history = record["records"]["network"][network]["history"]["epochs"]
        assert len(history) == 3
        assert max(each["learning_rate"] for each in history) <= best["choice"]["learning_rate"]
        assert max(each["learning_rate"] for each in history) > best["choice"]["learning_rate"] / 3


def test_every_trial_stays_within_its_space_and_differs(record: dict[str, Any]) -> None:
    trials = record["records"]["selection"]["student"]["trials"]
    for each in trials:
        assert 1 <= each["choice"]["temperature"] <= 8
        assert each["choice"]["learning_rate"] in (0.003, 0.01)
    assert len({json.dumps(each["choice"], sort_keys=True) for each in trials}) == 5


def test_more_trials_begin_with_those_that_there_are(place: Place) -> None:
    kept = sorted((place.folder / "store" / "cache" / "trials").glob("*.json"))
    assert len(kept) == 5
    before = {each: each.stat().st_mtime_ns for each in kept}
    done = place.edgekd("run", "p.yaml", "--until", "select", "--set", "distill.select.trials=6")
    assert done.returncode == 0, done.stderr
    after = sorted((place.folder / "store" / "cache" / "trials").glob("*.json"))
    assert len(after) == 6
    assert {each: each.stat().st_mtime_ns for each in kept} == before


def test_a_list_for_each_setting_is_tried_whole_and_once(place: Place) -> None:
    space = "distill.select.space={temperature: [2, 4], losses.1: [{use: kd}, {use: dist}]}"
    done = place.edgekd("run", "p.yaml", "--until", "select", "--set", space, "--set", "distill.select.trials=50")
    assert done.returncode == 0, done.stderr
    trials = place.last_run()["records"]["selection"]["student"]["trials"]
    found = {(each["choice"]["temperature"], each["choice"]["losses.1"]["use"]) for each in trials}
    assert len(trials) == 4
    assert found == {(2, "kd"), (4, "kd"), (2, "dist"), (4, "dist")}


def test_the_choice_and_the_next_best_are_shown(place: Place) -> None:
    shown = place.edgekd("show").stdout
    assert "selected on validation of " in shown
    assert "the worst had " in shown


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ("{use: dist}", "{use: dits}", "p.yaml:14: distill.losses.1: unknown loss 'dits'"),
        ("low: 1,", "low: -1,", "p.yaml:13: distill.select.space.temperature"),
        ("temperature: {", "temprature: {", "p.yaml:13: distill.temprature: unknown key"),
        ("losses.1:", "losses.7:", "'7' is no item of a list of 2"),
        (
            "learning_rate: [0.003, 0.01]",
            "learning_rate: [0.003, 99]",
            "p.yaml:15: distill.learning_rate: input should",
        ),
        ("learning_rate: [", "epochs: [", "space: epochs cannot be tried out"),
        (
            "learning_rate: [0.003, 0.01]",
            "batch_size: {low: 8, high: 64}",
            "p.yaml:15: distill.batch_size: expected a whole",
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_anything_is_trained(
    tmp_path: Path, before: str, after: str, line: str
) -> None:
    done = place_with(tmp_path, PIPELINE.replace(before, after)).edgekd("plan", "p.yaml")
    assert done.returncode == 2, done.stdout
    assert line in done.stderr
    assert "Traceback" not in done.stderr
