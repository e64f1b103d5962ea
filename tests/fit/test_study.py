"""The command on priced shapes: real trainings, files and measurements of a small pipeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgekd import cli
from edgekd.fit import study
from edgekd.fit.trainings import Trainings
from edgekd.records.pricing import PricingRecord
from edgekd.records.study import Attempt
from tests.command import place_with
from tests.fit.pipelines import PIPELINE, PRICING, conv, priced

OWN = """\
from torch import nn


def broken(contract):
    return nn.Flatten()
"""


@dataclass
class Command:
    """The command in this process, in a folder of its own; asked: how often prices were asked for."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    pricing: PricingRecord = PRICING
    asked: int = 0
    out: str = ""
    err: str = ""
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        place_with(self.folder, PIPELINE)
        self.path = self.folder / "p.yaml"
        (self.folder / "own.py").write_text(OWN)
        self.monkeypatch.chdir(self.folder)
        self.monkeypatch.setenv("COLUMNS", "160")
        self.monkeypatch.setattr(study, "price", self.price)

    def price(self, pipeline: object, progress: object, *, deadline: float) -> PricingRecord:
        self.asked += 1
        return self.pricing

    def __call__(self, *arguments: str) -> int:
        self.monkeypatch.setattr(sys, "argv", ["edgekd", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()  # typer ends it so when all went well too
        self.out, self.err = self.capsys.readouterr()
        return int(ended.value.code or 0)

    def study(self, *arguments: str) -> dict[str, Any]:
        assert self("fit", "p.yaml", "--json", *arguments) == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


Made = Callable[[], Command]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests: the trainings are the same."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def command(
    tmp_path: Path, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.setenv("EDGEKD_STORE", str(store))
    return Command(tmp_path, capsys, monkeypatch)


def test_the_shape_is_written_with_how_it_was_found_and_the_student_is_trained(command: Command) -> None:
    before = command.path.read_text().splitlines()
    found = command.study()
    assert [(rung["epochs"], len(rung["attempts"])) for rung in found["rungs"]] == [(1, 5), (3, 3)]
    assert found["within"] == 5
    assert found["priced"] == 6
    (taken,) = (each for each in found["finalists"] if each["shape"] == found["taken"])
    assert taken["front"]
    after = command.path.read_text().splitlines()
    assert next(each for each in after if each not in before).startswith("  # edgekd fit: p.yaml --json on 2")
    assert sum("# edgekd fit: " in each for each in after) == 4
    width = found["entrants"][found["taken"]]["shape"]
    assert any(each.startswith("  model: {use: ") and each.endswith("# of 9 channels") for each in after)
    assert [each for each in after if "edgekd fit" not in each and "model: {use: " not in each] == [
        each for each in before if "model: {use: " not in each
    ]
    assert "look at the comment in line 9" in command.err
    assert command("plan", "p.yaml") == 0
    assert next(line for line in command.out.splitlines() if line.startswith("train@student")).split()[1] == "cached"
    assert str(width["use"]) in command.path.read_text()


def test_done_again_nothing_is_measured_or_trained_and_the_run_is_shown(command: Command) -> None:
    first = command.study()
    asked = command.asked
    assert command("fit", "p.yaml") == 0
    assert command.asked == asked
    assert "fit: cached" in command.err
    assert "train@student" not in command.err
    shown = command.out
    assert "5 of 6 shapes measured are within {p50_ms: 5.0}" in shown
    assert f"taken: {{use: {first['entrants'][first['taken']]['shape']['use']}" in shown
    assert command("show") == 0
    assert command.out.splitlines()[:8] == shown.splitlines()[:8]


def test_interrupted_it_goes_on_with_the_same_prices_and_trains_nothing_twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_STORE", str(tmp_path / "store"))
    attempt = Trainings.attempt
    made: list[tuple[int, int]] = []

    def interrupted(self: Trainings, number: int, shape: Any, epochs: int) -> Attempt:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append((number, epochs))
        return attempt(self, number, shape, epochs)

    with monkeypatch.context() as patched:
        patched.setattr(Trainings, "attempt", interrupted)
        assert command("fit", "p.yaml") == 130
    assert "the same command goes on from here" in command.err
    assert command.path.read_text() == PIPELINE
    assert command("fit", "p.yaml") == 0
    assert command.asked == 1
    told = command.err.splitlines()
    assert sum(line.startswith("train@student: cached") for line in told) >= 3
    assert sum(line.startswith("train@student: running") for line in told) == 5 - 3 + 3
    assert not any(line.startswith("train@teacher: running") for line in told)


def test_a_shape_that_fails_is_a_row_with_its_reason(command: Command) -> None:
    broken = priced({"use": "own.py:broken"}, 5e-6, 9000)
    command.pricing = PRICING.model_copy(update={"shapes": (broken, *PRICING.shapes)})
    found = command.study("--dry-run", "--fresh")
    reasons = [each["failed"] for each in found["rungs"][0]["attempts"]]
    assert len(reasons) == 6
    (reason,) = filter(None, reasons)
    assert "gives (2, 64) for 2 samples" in reason
    assert found["taken"] is not None


def test_when_every_shape_fails_the_reason_is_the_error(command: Command) -> None:
    command.pricing = PRICING.model_copy(update={"shapes": (priced({"use": "own.py:broken"}, 5e-6, 9000),)})
    assert command("fit", "p.yaml", "--fresh") == 4
    assert "none of 1 trainings came to an end, the last: " in command.err
    assert "gives (2, 64) for 2 samples" in command.err
    assert command.path.read_text() == PIPELINE


def test_no_shape_within_the_budget_tells_the_closest_and_what_would_do(command: Command) -> None:
    shapes = (priced(conv(8), 6.234e-3, 2000, unfit="slow"), priced(conv(16), 9e-3, 4000, unfit="slow"))
    command.pricing = PRICING.model_copy(update={"shapes": shapes})
    assert command("fit", "p.yaml", "--fresh") == 2
    assert command.err.splitlines()[-2:] == [
        "p.yaml:14: fit.budget: none of 2 shapes is within it; the closest, "
        "{use: conv, width: 8, depth: 1, stages: 2}, has 6.23 ms on here",
        "hint: p50_ms 6.24 would do, or give fit.space smaller shapes",
    ]
    assert command.path.read_text() == PIPELINE


def test_finalists_that_are_over_the_budget_after_all_are_shown_and_none_is_written(command: Command) -> None:
    assert command("fit", "p.yaml", "--set", "fit.budget.p50_ms=0.0001") == 1
    assert "nothing is taken: no finalist is within the budget" in command.out
    assert "the budget is 0.100 µs" in command.out
    assert "nothing is written" in command.err
    assert "--fresh repeats it and trains nothing twice" in command.err
    assert command.path.read_text() == PIPELINE


def test_a_dry_run_prints_what_would_be_written(command: Command) -> None:
    assert command("fit", "p.yaml", "--dry-run") == 0
    assert "not written: model: {use: " in command.err
    assert command.path.read_text() == PIPELINE


def test_a_new_file_is_written_beside_the_old_one(command: Command) -> None:
    assert command("fit", "p.yaml", "--to", "q.yaml") == 0
    assert command.path.read_text() == PIPELINE
    assert command("plan", "q.yaml") == 0
    assert command("fit", "p.yaml", "--to", "q.yaml") == 0  # its own it may replace


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "here.yaml"), "--to here.yaml: there is such a file already"),
        (("--to", "p.yaml"), "--to p.yaml is the pipeline file itself"),
        (("--to", "../q.yaml"), "a pipeline names its targets and files from its own folder"),
        (("--set", "fit=null"), "p.yaml:1: fit: is missing"),
        (("--set", "fit.budget={}"), "--set: fit.budget: demands nothing"),
        (
            ("--set", "fit.budget={instructions: 9}"),
            "--set: fit.budget: instructions are counted on emulated targets alone",
        ),
        (("--set", "teacher={given: {use: onnx, path: none.onnx}}"), "none.onnx"),
        (("--set", "distill.losses=[{use: kdd}]"), "unknown loss 'kdd'"),
        (("--set", "student.modle=1"), "student.modle: unknown key"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(
    command: Command, arguments: tuple[str, ...], told: str
) -> None:
    assert command("fit", "p.yaml", *arguments) == 2
    assert told in command.err
    assert "Traceback" not in command.err
    assert command.asked == 0
    assert "running" not in command.err
    assert command.path.read_text() == PIPELINE


def test_a_file_that_cannot_be_changed_in_its_place_is_told_before_anything_is_measured(command: Command) -> None:
    shared = PIPELINE.replace("model: {use: conv, width: 12", "model: &net {use: conv, width: 12")
    shared = shared.replace("model: {use: conv, width: 9, stages: 2} # of 9 channels", "model: *net")
    command.path.write_text(shared)
    assert command("fit", "p.yaml") == 2
    assert "shares its text with other parts of the file" in command.err
    assert command.asked == 0


def test_a_teacher_that_is_not_good_enough_is_no_shapes_failure(command: Command) -> None:
    assert command("fit", "p.yaml", "--set", "teacher.min_accuracy=0.999") == 4
    assert "teacher.min_accuracy asks for 99.90%" in command.err
    assert command.path.read_text() == PIPELINE
