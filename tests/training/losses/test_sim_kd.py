"""sim_kd: the squared error of features, over layers that it finds by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from edgekd.models.reuse import Reuse
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.sim_kd import ReusedFeatures

REUSE = Reuse(projector="p", classifier="c", lent="c", features="f:input")
TERM = ReusedFeatures(use="sim_kd").reusing("teacher", REUSE)


def value(student: Tensor, teacher: Tensor) -> float:
    logits = torch.zeros(len(student), 2)
    lesson = Lesson(
        Batch({}, torch.zeros(len(student)).long(), np.arange(len(student)), view=0),
        Answers(logits, {"p": student}),
        {"teacher": Answers(logits, {"f:input": teacher}), "teacher.2": Answers(logits)},
        0.0,
    )
    return float(TERM.build(Shapes(2, 9, {}, {}))(lesson))


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3, 2)])
def test_it_is_the_mean_over_all_elements(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    mine, theirs = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    assert value(mine, theirs) == pytest.approx(float(np.square(mine.numpy() - theirs.numpy()).mean()), rel=1e-12)
    assert value(theirs, theirs) == 0


def test_larger_maps_are_averaged_to_the_smaller_and_maps_to_vectors() -> None:
    generator = torch.Generator().manual_seed(0)
    large, small = torch.randn(5, 7, 4, 6, generator=generator), torch.randn(5, 7, 2, 3, generator=generator)
    means = large.numpy().reshape(5, 7, 2, 2, 3, 2).mean(axis=(3, 5))
    assert value(large, small) == pytest.approx(float(np.square(means - small.numpy()).mean()), rel=1e-5)
    assert value(small, large) == pytest.approx(value(large, small), rel=1e-6)
    vector = torch.randn(5, 7, generator=generator)
    expected = float(np.square(large.numpy().mean(axis=(2, 3)) - vector.numpy()).mean())
    assert value(large, vector) == pytest.approx(expected, rel=1e-5)


def test_it_hears_the_network_whose_classifier_it_is_and_no_other_of_its_ensemble() -> None:
    assert TERM.hears("teacher")
    assert not TERM.hears("teacher.2")
    assert not TERM.hears("other")
