"""Other settings of a pipeline, tried through the real command."""

from __future__ import annotations

import csv
import io
import json
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.command import Place, place_with
from tests.sweep.small import PIPELINE

LISTED = ("--set", "distill.temperature=2,4", "--set", "distill.losses.1={use: kd},{use: dist}")
TRAIN = (*LISTED, "--seeds", "2", "--until", "train")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[str, Any], str]:
    """A folder in which four settings were trained with two seeds each, the record, and what was told meanwhile."""
    here = place_with(tmp_path_factory.mktemp("sweep"), PIPELINE)
    done = here.edgekd("sweep", "p.yaml", *TRAIN, "--csv", "table.csv", "--json")
    assert done.returncode == 0, done.stderr
    return here, json.loads(done.stdout), done.stderr


def reached(record: dict[str, Any]) -> list[Any]:
    return [
        [(each["seed"], each["validation_correct"], each["failed"]) for each in row["trials"]] for row in record["rows"]
    ]


def swept(place: Place, *arguments: str) -> dict[str, Any]:
    done = place.edgekd("sweep", "p.yaml", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def test_every_combination_is_a_row_and_every_seed_a_trial(trained: tuple[Place, dict[str, Any], str]) -> None:
    _, record, _ = trained
    settings = [row["setting"] for row in record["rows"]]
    assert settings == [
        {"distill.temperature": temperature, "distill.losses.1": {"use": loss}}
        for temperature in (2, 4)
        for loss in ("kd", "dist")
    ]
    assert [[each["seed"] for each in row["trials"]] for row in record["rows"]] == [[0, 1]] * 4
    assert record["rows"][0]["gain"] is None
    assert all(row["gain"] is not None for row in record["rows"][1:])


def test_what_trials_share_is_made_once_a_seed(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, _, told = trained
    assert len(list((place.folder / "store" / "records" / "data").glob("*.json"))) == 2
    assert len(list((place.folder / "store" / "records" / "train").glob("*.json"))) == 2 + 6  # dist has no temperature
    assert told.count("teachers of ") == 2


def test_a_trial_is_an_ordinary_run(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, record, _ = trained
    done = place.edgekd(
        "run", "p.yaml", "--until", "train", "--seed", "1", "--set", "distill.losses.1={use: dist}",
        "--set", "distill.temperature=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = place.last_run()
    assert {each["id"]: each["state"] for each in run["stages"]}["train@student"] == "cached"
    trial = record["rows"][3]["trials"][1]
    assert run["records"]["network"]["student"]["validation_correct"] == trial["validation_correct"]


def test_the_csv_says_the_same(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, record, _ = trained
    rows = list(csv.DictReader(io.StringIO((place.folder / "table.csv").read_text())))
    assert [row["distill.losses.1"] for row in rows] == ["{use: kd}", "{use: dist}"] * 2
    for row, known in zip(rows, record["rows"], strict=True):
        accuracies = [each["validation_correct"] / each["validation_total"] for each in known["trials"]]
        assert float(row["accuracy_mean"]) == pytest.approx(sum(accuracies) / 2, rel=1e-4)


def test_the_table_is_for_people(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, _, _ = trained
    shown = place.edgekd("sweep", "p.yaml", *TRAIN).stdout
    assert "small · 4 settings · seeds 0, 1" in shown
    assert " ± " in shown
    assert "best on validation: distill.temperature=" in shown
    assert "of the test samples" not in shown  # nothing was exported, and no test sample read


def test_a_sweep_again_trains_nothing_whatever_the_number_of_workers(
    trained: tuple[Place, dict[str, Any], str],
) -> None:
    place, record, _ = trained
    before = {path.stat().st_mtime_ns for path in (place.folder / "store" / "blobs").glob("*/*")}
    assert reached(swept(place, *TRAIN, "--workers", "2")) == reached(record)
    assert {path.stat().st_mtime_ns for path in (place.folder / "store" / "blobs").glob("*/*")} == before


def test_what_a_sampler_proposes_that_the_file_says_is_the_row_of_the_file(
    trained: tuple[Place, dict[str, Any], str],
) -> None:
    """The file says no temperature, which is 4; held against itself it would make the others' differences less sure."""
    place, record, _ = trained
    arguments = ("--set", "distill.temperature=2,4.0", "--sampler", "random", "--seeds", "2", "--until", "train")
    found = swept(place, *arguments)
    assert [row["setting"] for row in found["rows"]] == [{}, {"distill.temperature": 2}]
    file, two = found["rows"]
    known = {row["setting"]["distill.temperature"]: row for row in record["rows"] if "kd" in str(row["setting"])}
    assert reached({"rows": [file, two]}) == reached({"rows": [known[4], known[2]]})


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_a_sweep_that_was_killed_goes_on_to_the_same_table(tmp_path: Path, sampler: str) -> None:
    arguments = ["--set", "distill.learning_rate=0.005,0.01,0.02,0.03,0.04", "--until", "train"]
    if sampler == "tpe":
        arguments = ["--set", "distill.learning_rate={low: 0.005, high: 0.05}", "--until", "train"]
        arguments += ["--sampler", "tpe", "--settings", "5"]
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    place, whole = place_with(tmp_path / "killed", PIPELINE), place_with(tmp_path / "whole", PIPELINE)
    killed = 0
    for stop_at, how in ((2, signal.SIGKILL), (4, signal.SIGINT)):
        process = place.start("sweep", "p.yaml", *arguments)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"{stop_at}/"):
                process.send_signal(how)
                break
        _, rest = process.communicate(timeout=120)
        killed += process.returncode != 0
        if how is signal.SIGINT and process.returncode:
            assert process.returncode == 130
            assert "the same command goes on from here" in rest
    assert killed
    done = place.edgekd("sweep", "p.yaml", *arguments, "--json")
    assert "(from the store)" in done.stderr
    assert reached(json.loads(done.stdout)) == reached(swept(whole, *arguments))


def test_a_trial_that_fails_is_a_row_and_the_others_go_on(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, _, _ = trained
    layer = "{use: fitnet, student: nowhere, teacher: stages.0}"
    arguments = ("--set", f"distill.losses.1={{use: kd}},{layer}", "--set", "distill.temperature=2", "--until", "train")
    done = place.edgekd("sweep", "p.yaml", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(done.stdout)["rows"]
    assert not good["trials"][0]["failed"]
    assert "nowhere" in bad["trials"][0]["failed"]
    table = place.edgekd("sweep", "p.yaml", *arguments)
    assert "✗ distill.losses.1={use: fitnet, student: nowhere" in table.stdout
    assert table.returncode == 0


def test_what_a_trial_reached_before_it_failed_is_kept(trained: tuple[Place, dict[str, Any], str]) -> None:
    """Where nothing can be measured, because the target cannot be reached, the students are known all the same."""
    place, record, _ = trained
    (place.folder / "far.yaml").write_text(
        "name: far\ndevice: {use: ssh, host: localhost.invalid, connect_s: 1}\nlimits: {p90_latency_ms: 9}\n"
    )
    done = place.edgekd(
        "sweep", "p.yaml", "--set", "distill.temperature=2,4", "--set", "distill.losses.1={use: kd}",
        "--set", "targets=[far.yaml]", "--json",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    first, second = (row["trials"][0] for row in json.loads(done.stdout)["rows"])
    assert first["failed"]
    assert second["failed"]
    known = [record["rows"][position]["trials"][0]["validation_correct"] for position in (0, 2)]
    assert [first["validation_correct"], second["validation_correct"]] == known


def test_a_teacher_that_is_not_good_enough_fails_every_trial_that_needs_it(
    trained: tuple[Place, dict[str, Any], str],
) -> None:
    place, _, _ = trained
    done = place.edgekd("sweep", "p.yaml", *LISTED, "--until", "train", "--set", "teacher.min_accuracy=1.0", "--json")
    assert done.returncode == 4
    trials = [each for row in json.loads(done.stdout)["rows"] for each in row["trials"]]
    assert len(trials) == 4
    assert all("teacher" in each["failed"] for each in trials)


def test_the_pipeline_file_may_say_what_is_tried(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, record, _ = trained
    section = """\
sweep:
  seeds: 2
  space:
    distill.temperature: [2, 4]
    distill.losses.1: [{use: kd}, {use: dist}]
"""
    (place.folder / "section.yaml").write_text(PIPELINE + section)
    done = place.edgekd("sweep", "section.yaml", "--until", "train", "--json")
    assert done.returncode == 0, done.stderr
    assert reached(json.loads(done.stdout)) == reached(record)
    assert "(from the store)" in done.stderr
    (place.folder / "wrong.yaml").write_text(PIPELINE + section.replace("temperature: [2, 4]", "temprature: [2, 4]"))
    done = place.edgekd("sweep", "wrong.yaml", "--until", "train")
    assert done.returncode == 2
    assert done.stderr.startswith("wrong.yaml:14: distill.temprature: unknown key\nhint: did you mean 'temperature'?")


def test_a_trial_goes_up_to_validate_and_nothing_is_trained_beside_a_measurement(tmp_path: Path) -> None:
    place = place_with(tmp_path, PIPELINE)
    done = place.edgekd("sweep", "p.yaml", "--set", "student.model.width=4,6", "--workers", "2", "--csv", "table.csv")
    assert done.returncode == 0, done.stderr
    assert "of the test samples" in done.stdout
    assert "ships on here" in done.stdout
    for row in csv.DictReader(io.StringIO((place.folder / "table.csv").read_text())):
        assert row["here.ships"] in ("fp32", "int8_weights")
        assert 0 < float(row["here.test_accuracy"]) <= 1
        assert float(row["here.bytes"]) > 500
    records = {
        stage: [json.loads(path.read_text()) for path in (place.folder / "store" / "records" / stage).glob("*.json")]
        for stage in ("train", "screen")
    }
    assert len(records["screen"]) == 2
    trained = max(datetime.fromisoformat(each["created"]).timestamp() for each in records["train"])
    spans = sorted(
        (datetime.fromisoformat(each["created"]).timestamp() - each["seconds"], each["seconds"])
        for each in records["screen"]
    )
    whole_second = 1.0  # to which `created` is told
    assert spans[0][0] > trained - whole_second
    assert spans[1][0] > spans[0][0] + spans[0][1] - whole_second


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--set", "distill.temprature=1,2"), "--set: distill.temprature: unknown key"),
        (("--set", "distill.temperature=1,-2"), "--set: distill.temperature: input should be greater than 0, found -2"),
        (("--set", "distill.losses=[{use: kd}],[{use: kdd}]"), "--set: distill.losses.0: unknown loss 'kdd'"),
        (("--set", "seed=1,2"), "seed cannot be tried out"),
        (
            ("--set", "distill.temperature=1,2", "--seed", "4294967295", "--seeds", "2"),
            "--seeds: sweep.seeds: the last of 2 from 4294967295 on is 4294967296, and no seed is above 4294967295",
        ),
        (("--set", "distill.temperature=4,4"), "a value stands twice"),
        (("--set", "distill.temperature={low: 1, high: 4}"), "is a range, and a grid needs values"),
        (("--set", "distill.temperature=3"), "nothing is tried"),
        (("--set", "student.model.width={low: 4, high: 9}", "--sampler", "random"), "width: expected a whole number"),
        (
            ("--set", "distill.temperature=1,2", "--csv", "no/table.csv"),
            "--csv no/table.csv: there is no folder no",
        ),
        (("--set", "sweep={space: {distill.epochs: [1, 2]}}", "--set", "distill.epochs=1"), "nothing is tried"),
        (("--set", "distill.temperature=1,2", "--until", "data"), "ends before the student is trained"),
        (("--set", "distill.temperature=1,2", "--until", "nowhere"), "no stage 'nowhere' in this pipeline"),
        (("--set", "distill.temperature=1,2", "--sampler", "best"), "--sampler: sweep.sampler: input should be"),
        (("--set", "distill.temperature=1,2", "--workers", "many"), "expected a number of trainings at once, or ray"),
        (("--set", "distill.temperature=1,2", "--workers", "²"), "expected a number of trainings at once, or ray"),
        (("--set", "distill.temperature=1,2", "--workers", "2", "--cores", "999"), "are more than the"),
        (("--set", "distill.temperature=1,2", "--address", "a:1"), "--address is that of a cluster"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_anything_is_trained(
    tmp_path: Path, arguments: tuple[str, ...], line: str
) -> None:
    place = place_with(tmp_path, PIPELINE)
    done = place.edgekd("sweep", "p.yaml", *arguments)
    assert done.returncode == 2, done.stdout
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((place.folder / "store").glob("records/*/*"))


def test_a_value_that_is_possible_with_no_other_is_refused(tmp_path: Path) -> None:
    place = place_with(tmp_path, PIPELINE)
    done = place.edgekd("sweep", "p.yaml", "--set", "student.model.use=conv,mlp")
    assert done.returncode == 2
    assert "student.model.stages: unknown key" in done.stderr  # of an mlp


def test_a_combination_that_cannot_be_is_a_row(trained: tuple[Place, dict[str, Any], str]) -> None:
    place, _, _ = trained
    low, high = "distill.augment.resize.0", "distill.augment.resize.1"
    tried = ("--set", f"{low}=0.5,0.9", "--set", f"{high}=0.8,1", "--set", "distill.augment={resize: [0.5, 1]}")
    rows = swept(place, *tried, "--until", "train")["rows"]
    (bad,) = [row for row in rows if row["trials"][0]["failed"]]
    assert bad["setting"] == {low: 0.9, high: 0.8}
    assert "resize takes the smallest share first" in bad["trials"][0]["failed"]
