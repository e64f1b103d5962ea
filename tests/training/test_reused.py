"""A reused classifier stays what it was through every kind of training, and the student learns what it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekd.config.training import TrainingOptions
from edgekd.models.conv import ConvStack
from edgekd.models.reuse import lend
from edgekd.models.reused import Reused
from edgekd.progress import Silent
from edgekd.training.loop import TrainingData
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.sim_kd import ReusedFeatures
from edgekd.training.network import build_network
from edgekd.training.teachers import Live

from .conftest import OPTIONS, StopAfter, StoppedError, run, same, weights

BODY, LENDER = ConvStack(use="conv", width=4, stages=2), ConvStack(use="conv", width=8, stages=2)
FROZEN = ("head.weight", "head.bias")
OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": {"use": "adamw"}},
    {"optimizer": {"use": "muon"}, "averaging": 0.9},
    {"optimizer": {"use": "sgd"}, "averaging": 0.999},
]


def options(**changed: Any) -> TrainingOptions:
    return TrainingOptions.model_validate({**OPTIONS.model_dump(), "weight_decay": 0.1, **changed})


def taught(
    data: TrainingData, work: Path, chosen: TrainingOptions, progress: Silent | None = None, *, labels: bool = False
) -> tuple[nn.Module, nn.Module, list[float]]:
    """The student, its teacher, and the term in each epoch."""
    student = build_network(Reused(use="reused", body=BODY, lender=LENDER, reduction=2), data.contract, seed=1)
    teacher = build_network(LENDER, data.contract, seed=2)
    losses = [ReusedFeatures(use="sim_kd").reusing("teacher", lend(teacher, student))]
    result = run(
        student,
        data,
        work,
        losses=[*losses, CrossEntropy(use="cross_entropy")] if labels else losses,
        options=chosen,
        teachers={"teacher": Live(teacher)},
        progress=progress,
    )
    return student, teacher, [each.terms["sim_kd"] for each in result.history.epochs]


def classifier(network: nn.Module) -> dict[str, Tensor]:
    state = network.state_dict()
    return {name: state[name] for name in FROZEN}


@pytest.mark.parametrize("labels", [False, True], ids=["features alone", "labels too"])
@pytest.mark.parametrize("changed", OPTIMIZERS, ids=lambda each: str(each["optimizer"]["use"]))
def test_the_classifier_is_the_teachers_bit_for_bit_and_the_rest_learns(
    data: TrainingData, work: Path, changed: dict[str, Any], labels: bool
) -> None:
    fresh = build_network(Reused(use="reused", body=BODY, lender=LENDER, reduction=2), data.contract, seed=1)
    student, teacher, terms = taught(data, work, options(**changed), labels=labels)
    assert same(classifier(student), classifier(teacher))
    assert terms[-1] < terms[0]
    before = dict(fresh.named_parameters())
    moved = {name for name, each in student.named_parameters() if not torch.equal(each, before[name])}
    assert moved == {*before}, "body and projector by training, the classifier by its copy"


@pytest.mark.parametrize("changed", OPTIMIZERS, ids=lambda each: str(each["optimizer"]["use"]))
def test_gone_on_with_it_ends_in_the_same_weights(data: TrainingData, tmp_path: Path, changed: dict[str, Any]) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole, teacher, terms = taught(data, tmp_path / "whole", options(**changed))
    with pytest.raises(StoppedError):
        taught(data, tmp_path / "parts", options(**changed), StopAfter(15))
    parts, _, again = taught(data, tmp_path / "parts", options(**changed))
    assert same(weights(whole), weights(parts))
    assert terms == again
    assert same(classifier(parts), classifier(teacher))
