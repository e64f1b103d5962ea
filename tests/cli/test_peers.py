"""Peers, through the real command: they learn with the student, are told of, and are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekd.training.weights import read_tensors
from tests.command import Place, place_with, sets

PIPELINE = """\
name: mutual
data: {use: digits, validation: 0.15}
teacher: {model: {use: conv, width: 6, stages: 2}, epochs: 2}
student: {model: {use: conv, width: 4, stages: 2}}
distill:
  epochs: 4
  learning_rate: 0.01
  from: []
  peers:
    twin: {}
    wide: {model: {use: conv, width: 12, stages: 2}}
  losses:
    - {use: cross_entropy}
    - {use: kd, temperature: 1}
  control: true
variants:
  pair: {peers: {twin: {}}}
  taught: {peers: {}, from: [teacher]}
quantize: {candidates: [fp32]}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder in which a student has learned with two peers and without a teacher."""
    place = place_with(tmp_path_factory.mktemp("mutual"), PIPELINE)
    done = place.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    return place


@pytest.fixture(scope="module")
def record(mutual: Place) -> dict[str, Any]:
    """What that run says; other tests run there again."""
    return mutual.last_run()


def test_the_record_names_the_peers_and_what_they_reached(record: dict[str, Any]) -> None:
    networks = record["records"]["network"]
    student = networks["student"]
    assert student["learned_from"] == []
    assert list(student["peers"]) == ["twin", "wide"]
    assert student["peers"]["twin"]["parameters"] == student["parameters"] < student["peers"]["wide"]["parameters"]
    for peer in student["peers"].values():
        assert peer["validation_total"] == student["validation_total"]
        assert peer["validation_correct"] > 0.25 * peer["validation_total"]
    assert set(student["history"]["epochs"][-1]["terms"]) == {"cross_entropy", "kd"}
    assert {name: list(each["peers"]) for name, each in networks.items()} == {
        "teacher": [],
        "student": ["twin", "wide"],
        "control": [],
        "pair": ["twin"],
        "taught": [],
    }


def test_the_student_alone_is_kept_and_held_against_the_teacher(mutual: Place, record: dict[str, Any]) -> None:
    ids = [stage["id"] for stage in record["stages"]]
    assert "export@teacher" in ids
    assert not any("twin" in each or "wide" in each for each in ids)
    weights = read_tensors(mutual.stored(record, "train@student", "weights"))
    assert sum(each.numel() for each in weights.values()) < 2 * record["records"]["network"]["student"]["parameters"]
    models = record["records"]["evaluation"]["here"]["models"]
    assert {"teacher", "fp32", "control.fp32", "pair.fp32", "taught.fp32"} <= set(models)


def test_peers_begin_with_other_weights_than_the_student(mutual: Place, record: dict[str, Any]) -> None:
    student = record["records"]["network"]["student"]
    assert student["validation_correct"] != student["peers"]["twin"]["validation_correct"]


def test_the_order_and_the_model_of_peers_are_part_of_what_decides(mutual: Place, record: dict[str, Any]) -> None:
    assert record["error"] == ""
    done = mutual.edgekd("plan", "p.yaml", "--set", "distill.peers.wide.model.width=10")
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert state["train@student"] == "will run  options.peers.1.model.options.width 12 -> 10"
    assert all(state[f"train@{name}"].startswith("cached") for name in ("teacher", "control", "pair", "taught"))
    done = mutual.edgekd(
        "plan", "p.yaml", "--set", "distill.peers={wide: {model: {use: conv, width: 12, stages: 2}}, twin: {}}"
    )
    state = {line.split()[0]: line.split(maxsplit=1)[1] for line in done.stdout.splitlines()}
    assert state["train@student"].startswith("will run")


def test_peers_that_count_for_nothing_leave_the_student_what_it_is_without_them(mutual: Place) -> None:
    found = []
    for peers, losses in (
        ("{twin: {}, wide: {model: {use: conv, width: 12}}}", "[{use: cross_entropy}, {use: kd, weight: 0}]"),
        ("{}", "[{use: cross_entropy}]"),
    ):
        done = mutual.edgekd(
            "run", "p.yaml", "--until", "train@student", *sets(f"distill.peers={peers}", f"distill.losses={losses}")
        )
        assert done.returncode == 0, done.stderr
        found.append(mutual.stored(mutual.last_run(), "train@student", "weights").read_bytes())
    assert found[0] == found[1]


def test_layers_of_peers_are_listed(mutual: Place) -> None:
    done = mutual.edgekd("list", "layers", "p.yaml")
    assert done.returncode == 0, done.stderr
    assert "twin" in done.stdout
    assert "wide" in done.stdout


def test_beside_a_teacher_with_seeds_a_selection_and_few_labels(tmp_path: Path) -> None:
    """One of the peers is heard by one term alone."""
    text = PIPELINE.replace("validation: 0.15", "validation: 0.15, labelled: 0.2").replace(
        "from: []", "from: [teacher]"
    )
    text = text.replace("temperature: 1}", "temperature: 1, network: twin}\n    - {use: kd, network: teacher}")
    text = text.replace("control: true", "select: {trials: 2, epochs: 1, space: {losses.1.weight: [0, 1]}}")
    before, _, after = text.partition("variants:")
    place = place_with(tmp_path, f"{before}seeds: 2\nquantize:{after.partition('quantize:')[2]}")
    done = place.edgekd("run", "p.yaml")
    assert done.returncode in (0, 3), done.stderr
    record = place.last_run()
    networks = record["records"]["network"]
    assert networks["student"]["learned_from"] == ["teacher"]
    assert list(networks["student"]["peers"]) == list(networks["student.2"]["peers"]) == ["twin", "wide"]
    assert len(record["records"]["selection"]["student"]["trials"]) == 2
