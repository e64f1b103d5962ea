"""Several trainings of one student: with further seeds, and taught otherwise, through the real command."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgekd.data.modalities.base import feeds_for
from edgekd.records.contract import ModelContract
from tests.command import Place, place_with

PIPELINE = """\
name: small
seeds: 3
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 12, stages: 2}, epochs: 3, ensemble: 2}
student: {model: {use: conv, width: 4, stages: 2}}
distill:
  epochs: 2
  control: true
  losses: [{use: cross_entropy}, {use: kd}]
variants:
  by_answers: {losses: [{use: kd}], temperature: 1}
shifts: {rotate: 30, noise: 0.3}
quantize: {candidates: [int8_weights]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""


TAUGHT = ["student", "by_answers", "control"]
GAINING = ["fp32", "int8_weights", "by_answers.fp32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which a student has been trained with three seeds."""
    folder = tmp_path_factory.mktemp("seeds")
    here = place_with(folder, PIPELINE)
    done = here.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    return here


@pytest.fixture(scope="module")
def record(place: Place) -> dict[str, Any]:
    """What that run says."""
    return place.last_run()


def test_student_and_control_are_trained_again_with_further_seeds_of_one_teacher(record: dict[str, Any]) -> None:
    trained = [stage["id"] for stage in record["stages"] if stage["stage"] == "train"]
    students = [f"train@{name}{again}" for again in ("", ".2", ".3") for name in TAUGHT]
    assert trained == ["train@teacher", "train@teacher.2", *students]
    weights = {
        stage["outputs"]["weights"]["digest"]
        for stage in record["stages"]
        if stage["stage"] == "train" and "student" in stage["id"]
    }
    assert len(weights) == 3
    found = record["records"]["seeds"]["here"]
    assert found["seeds"] == [0, 1, 2]
    assert set(found["accuracies"]) == {*GAINING, "control.fp32", "control.int8_weights"}
    assert set(found["gains"]) == set(GAINING)


def test_each_accuracy_is_that_of_the_file_of_its_seed(place: Place, record: dict[str, Any]) -> None:
    contract = ModelContract.model_validate(record["records"]["contract"]["data"])
    test = np.load(place.stored(record, "data", "test"))
    assert record["records"]["evaluation"]["here"]["samples"] == len(test["labels"])
    for network, name in {"student": "fp32", "by_answers": "by_answers.fp32", "control": "control.fp32"}.items():
        reached = []
        for again in ("", ".2", ".3"):
            session = onnxruntime.InferenceSession(place.stored(record, f"export@{network}{again}", "model"))
            (logits,) = session.run(None, feeds_for(contract, test["samples"]))
            reached.append(float((logits.argmax(axis=1) == test["labels"]).mean()))
        assert record["records"]["seeds"]["here"]["accuracies"][name] == pytest.approx(reached)


def test_the_run_says_how_much_accuracy_varies_and_what_was_gained(place: Place) -> None:
    shown = place.edgekd("show").stdout
    assert "accuracy over 3 seeds (mean ± standard deviation): fp32 " in shown
    assert "over 3 seeds distillation gained " in shown
    assert re.search(
        r"^by_answers: [\d.]+% in fp32, .* beside the student and .* beside the untaught student$", shown, re.M
    )
    card = next(place.folder.glob("runs/*/*/bundle/*.md"), None)
    if card is not None:  # a busy machine may have left the latency undecided
        assert "Trained with 3 seeds, int8_weights on here" in card.read_text()


def test_one_seed_more_trains_only_that_one(place: Place) -> None:
    done = place.edgekd("plan", "p.yaml", "--set", "seeds=4")
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert state["train@student.3"].startswith("cached")
    assert not state["train@student.4"].startswith("cached")


def test_a_variant_differs_from_the_student_in_what_it_says_and_in_nothing_else(record: dict[str, Any]) -> None:
    networks = record["records"]["network"]
    assert set(networks["by_answers"]["history"]["epochs"][-1]["terms"]) == {"kd"}
    assert networks["by_answers"]["parameters"] == networks["student"]["parameters"]
    pairs = {(each["model"], each["reference"]) for each in record["records"]["evaluation"]["here"]["pairs"]}
    assert {("by_answers.fp32", "fp32"), ("by_answers.fp32", "control.fp32")} <= pairs


def test_every_file_is_tried_under_other_conditions(place: Place, record: dict[str, Any]) -> None:
    found = record["records"]["shifts"]["here"]["shifts"]
    clean = record["records"]["evaluation"]["here"]["models"]
    assert {kind: each["amount"] for kind, each in found.items()} == {"rotate": 30, "noise": 0.3}
    for each in found.values():
        assert set(each["evaluation"]["models"]) == set(clean)
        right = each["evaluation"]["models"]["teacher"]["accuracy"]["correct"]
        assert 0 < right < clean["teacher"]["accuracy"]["correct"], "it was not trained for that"
    shown = place.edgekd("show").stdout
    assert re.search(r"^ accuracy +as they are +rotate 30 +noise 0\.3 *$", shown, re.M)
    assert "rotate 30: distillation gained" in shown


def test_an_ensemble_is_trained_with_further_seeds_and_the_student_learns_from_all_of_it(
    record: dict[str, Any],
) -> None:
    networks = record["records"]["network"]
    assert networks["student"]["learned_from"] == ["teacher", "teacher.2"]
    outputs = {stage["id"]: stage["outputs"] for stage in record["stages"]}
    assert outputs["train@teacher"]["weights"] != outputs["train@teacher.2"]["weights"]
    assert "export@teacher.2" not in outputs, "the first of it is what the student is held against"
