"""A student that ends in its teacher's classifier (SimKD), from the command line to the int8 file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgekd.data.modalities.base import Feeds, feeds_for
from edgekd.graph.runtime import run_onnx
from edgekd.records.contract import ModelContract
from edgekd.stages.files import load_record, load_split
from edgekd.training.weights import read_tensors
from tests.command import Place, place_with

PIPELINE = """\
name: small
data: {use: digits, validation: 0.15}
teacher: {model: {use: resnet, width: 8, stages: 2}, epochs: 8, learning_rate: 0.01}
student:
  model: {use: conv, width: 8, stages: 1}
  classifier: {network: teacher}
distill:
  epochs: 8
  batch_size: 32
  learning_rate: 0.01
  control: true
  losses: [{use: sim_kd}]
variants:
  own: {classifier: null, losses: [{use: kd}]}
export: {input: float}
quantize: {candidates: [{use: int8_qdq, reduce_range: true}], objective: size, max_accuracy_drop: 1.0}
targets: [here.yaml]
release: {max_accuracy_drop: 1.0}
"""
SELECTING = "distill.select={trials: 2, epochs: 1, space: {learning_rate: [0.003, 0.01]}}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    here = place_with(tmp_path_factory.mktemp("reuse"), PIPELINE)
    done = here.edgekd("run", "p.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    (here.folder / "said").write_text(done.stdout + done.stderr)
    return here


@pytest.fixture(scope="module")
def record(place: Place) -> dict[str, Any]:
    return place.last_run()


def weights_of(place: Place, record: dict[str, Any], network: str) -> dict[str, Tensor]:
    return read_tensors(place.stored(record, f"train@{network}", "weights"))


def validation(place: Place, record: dict[str, Any]) -> Feeds:
    contract = load_record(ModelContract, place.stored(record, "data", "contract"))
    return feeds_for(contract, load_split(place.stored(record, "data", "validation")).samples)


def normalised(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, weight, bias)


def by_hand(place: Place, record: dict[str, Any]) -> NDArray[np.float32]:
    """teacher_head(projector(backbone(x))), written out, the head from the teacher's own file."""
    mine, teacher = weights_of(place, record, "student"), weights_of(place, record, "teacher")
    (images,) = validation(place, record).values()
    x = functional.conv2d(torch.from_numpy(images), mine["stages.0.0.0.weight"], padding=1)
    x = functional.relu(normalised(x, mine, "stages.0.0.1"))
    x = functional.avg_pool2d(x, 2)  # the student's maps are 8 x 8, the teacher's 4 x 4
    for convolution, padding in ((1, 0), (4, 1), (7, 0)):
        x = functional.conv2d(x, mine[f"pool.projector.{convolution}.weight"], padding=padding)
        x = functional.relu(normalised(x, mine, f"pool.projector.{convolution + 1}"))
    logits = x.mean(dim=(2, 3)) @ teacher["head.weight"].T + teacher["head.bias"]
    found: NDArray[np.float32] = logits.numpy()
    return found


def test_what_ships_is_the_teachers_classifier_of_the_projected_features(place: Place, record: dict[str, Any]) -> None:
    feeds, expected = validation(place, record), by_hand(place, record)
    exported = run_onnx(place.stored(record, "export@student", "model"), feeds)
    assert np.abs(exported - expected).max() < 1e-4
    int8 = run_onnx(place.stored(record, "quantize@int8_qdq_reduced", "model"), feeds)
    assert np.abs(int8 - expected).max() < 0.1 * np.abs(expected).max()
    assert (int8.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.97


def test_the_student_learned_and_the_variant_and_the_control_have_classifiers_of_their_own(
    place: Place, record: dict[str, Any]
) -> None:
    networks = record["records"]["network"]
    right = {name: each["validation_correct"] / each["validation_total"] for name, each in networks.items()}
    assert right["student"] > 0.6
    assert right["student"] > right["control"]
    assert set(networks["student"]["history"]["epochs"][-1]["terms"]) == {"sim_kd"}
    teacher, student = (weights_of(place, record, name) for name in ("teacher", "student"))
    assert student["head.weight"].equal(teacher["head.weight"])
    for name in ("own", "control"):
        assert networks[name]["reused"] is None
        assert weights_of(place, record, name)["head.weight"].shape == (10, 8)


def test_the_run_says_what_it_costs(place: Place, record: dict[str, Any]) -> None:
    student, control = (record["records"]["network"][name] for name in ("student", "control"))
    projector = 8 * 8 + 8 * 8 * 9 + 8 * 16 + 2 * (8 + 8 + 16)
    assert student["reused"] == {
        "network": "teacher",
        "projector": projector,
        "classifier": 16 * 10 + 10,
        "without": control["parameters"],
    }
    cost = (
        f"classifier of teacher, for a projector of {projector} parameters "
        f"({control['parameters']} in all without reuse)"
    )
    line = f"student: {student['parameters']:,} parameters with the {cost}; the control has no projector"
    assert line in (place.folder / "said").read_text()
    assert cost in next(each["headline"] for each in record["stages"] if each["id"] == "train@student")
    card = next(place.folder.glob("runs/*/*/bundle")).rglob("*.md")
    assert any(cost in each.read_text() for each in card)


def test_the_layers_of_the_projector_are_listed(place: Place) -> None:
    listed = place.edgekd("list", "layers", "p.yaml").stdout
    assert "pool.projector" in listed


def test_settings_can_be_chosen_and_the_classifier_stays(place: Place) -> None:
    done = place.edgekd("run", "p.yaml", "--until", "train", "--set", SELECTING)
    assert done.returncode == 0, done.stderr
    selected = place.last_run()
    assert len(selected["records"]["selection"]["student"]["trials"]) == 2
    teacher, student = (weights_of(place, selected, name) for name in ("teacher", "student"))
    assert all(student[name].equal(teacher[name]) for name in ("head.weight", "head.bias"))


def test_a_student_on_tables_has_a_linear_projector(tmp_path: Path) -> None:
    tables = (
        PIPELINE.replace("use: digits", "use: breast_cancer")
        .replace("{use: resnet, width: 8, stages: 2}", "{use: mlp, width: 32, depth: 2}")
        .replace("{use: conv, width: 8, stages: 1}", "{use: mlp, width: 6}")
    )
    here = place_with(tmp_path, tables)
    done = here.edgekd("run", "p.yaml", "--until", "quantize")
    assert done.returncode == 0, done.stdout + done.stderr
    record = here.last_run()
    mine, teacher = weights_of(here, record, "student"), weights_of(here, record, "teacher")
    feeds = validation(here, record)
    (x,) = (torch.from_numpy(each) for each in feeds.values())
    hidden = functional.relu(x @ mine["hidden.0.weight"].T + mine["hidden.0.bias"])
    features = functional.relu(hidden @ mine["head.projector.0.weight"].T + mine["head.projector.0.bias"])
    expected = (features @ teacher["head.weight"].T + teacher["head.bias"]).numpy()
    assert np.abs(run_onnx(here.stored(record, "quantize@fp32", "model"), feeds) - expected).max() < 1e-4
    assert (
        run_onnx(here.stored(record, "quantize@int8_qdq_reduced", "model"), feeds).argmax(1) == expected.argmax(1)
    ).mean() > 0.9
    assert record["records"]["network"]["student"]["reused"]["projector"] == 6 * 32 + 32
