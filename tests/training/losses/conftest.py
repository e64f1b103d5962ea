"""A lesson with the published example of `oracles/losses.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.config.component import component_class
from edgekd.config.registry import LOSSES
from edgekd.models.reuse import Reuse
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.base import Loss, Term
from edgekd.training.losses.sim_kd import ReusedFeatures
from edgekd.training.temperatures.base import Temperature, with_temperature
from edgekd.training.temperatures.fixed import Fixed

ORACLE = json.loads((Path(__file__).parents[2] / "oracles" / "losses.json").read_text())
VALUES = ORACLE["values"]
LAYER = "layer"


def tensor(name: str) -> Tensor:
    """float64, as it stands in the file."""
    return torch.tensor(ORACLE[name], dtype=torch.float64)


def lesson(
    *,
    student: Tensor | None = None,
    teachers: Mapping[str, Tensor] | None = None,
    features: Tensor | None = None,
    labels: Tensor | None = None,
    progress: float = 0.0,
) -> Lesson:
    """The example's logits (3, 4) and features (3, 2, 2, 2) of one teacher, or the given ones."""
    taught = {"teacher": tensor("T")} if teachers is None else teachers
    y = tensor("y").long() if labels is None else labels
    mine = tensor("fs")[:3] if features is None else features
    return Lesson(
        batch=Batch({}, y, np.arange(len(y)), view=0),
        student=Answers(tensor("S") if student is None else student, {LAYER: mine}),
        teachers={name: Answers(logits, {LAYER: tensor("ft")[:3]}) for name, logits in taught.items()},
        progress=progress,
    )


def compared(student: Tensor, *teachers: Tensor, labels: Tensor | None = None) -> Lesson:
    """A lesson with these outputs of the layer; the teachers are t0, t1 and so on."""
    count = len(student)
    logits = torch.zeros(count, 4, dtype=student.dtype)
    return Lesson(
        batch=Batch({}, torch.arange(count) % 4 if labels is None else labels, np.arange(count), view=0),
        student=Answers(logits, {LAYER: student}),
        teachers={f"t{number}": Answers(logits, {LAYER: each}) for number, each in enumerate(teachers)},
        progress=0.0,
    )


def in_two_views(given: Lesson) -> Lesson:
    """The same, each two rows being one sample in two views."""
    rows = np.repeat(np.arange(len(given.batch.rows) // 2), 2)
    return dataclasses.replace(given, batch=dataclasses.replace(given.batch, rows=rows, looks=2))


def noise(seed: int, *size: int) -> Tensor:
    """float64, from the seed alone."""
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shapes_of(given: Lesson) -> Shapes:
    """What a dry pass of this lesson would find."""
    return Shapes(
        classes=given.student.logits.shape[1],
        samples=len(given.batch.labels),
        student={name: tuple(each.shape[1:]) for name, each in given.student.taps.items()},
        teachers={
            teacher: {name: tuple(each.shape[1:]) for name, each in answers.taps.items()}
            for teacher, answers in given.teachers.items()
        },
    )


def fixed(value: float) -> Temperature:
    return Fixed(use="fixed", value=value)


def loss(use: str, **options: object) -> Loss:
    """A registered loss; options that it cannot do without are names of layers, or lists of them."""
    kind = component_class(LOSSES, use)
    required = {
        name: LAYER if field.annotation is str else [LAYER]
        for name, field in kind.model_fields.items()
        if field.is_required() and name != "use"
    }
    made = kind.model_validate({"use": use, **required, **options})
    assert isinstance(made, Loss)
    if isinstance(made, ReusedFeatures):  # a training tells it which layers these are
        return made.reusing("teacher", Reuse(projector=LAYER, classifier="", lent="", features=LAYER))
    return made


def built(made: Loss, *, temperature: float = 4.0, given: Lesson | None = None, seed: int = 0) -> Term:
    """The term in float64, fitted to the lesson."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        (ready,) = with_temperature([made], fixed(temperature))
        term = ready.build(shapes_of(given or lesson()))
    return term.double() if isinstance(term, nn.Module) else term
