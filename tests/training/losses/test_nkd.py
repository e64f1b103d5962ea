from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.training.losses.dkd import decoupled_losses
from edgekd.training.losses.nkd import normalised_losses

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, example, said, softmax, without


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, VALUES["nkd_T1_g1.5"]),
        ({"temperature": 4}, VALUES["nkd_T4_g1.5"]),
        ({"temperature": None}, VALUES["nkd_T4_g1.5"]),
    ],
)
def test_it_has_the_published_values(options: dict[str, float], expected: float) -> None:
    assert float(built(loss("nkd", **options), temperature=4)(lesson())) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_it_is_what_probabilities_give_one_sample_at_a_time(temperature: float) -> None:
    drawn = example()
    total = 0.0
    for student, teacher, label in drawn.rows:
        total -= softmax(teacher)[label] * math.log(softmax(student)[label]) / 5
        p, q = (softmax(without(each, label), temperature) for each in (teacher, student))
        total -= 0.8 * temperature**2 * sum(a * math.log(b) for a, b in zip(p, q, strict=True)) / 5
    term = built(loss("nkd", gamma=0.8, temperature=temperature))
    assert float(term(drawn.lesson)) == pytest.approx(total, rel=1e-9)


@given(drawn=said(), temperature=st.floats(0.5, 8))
def test_its_wrong_classes_teach_what_those_of_decoupled_distillation_do(drawn: Said, temperature: float) -> None:
    """They differ by the entropy of the teacher's, which the student has no part in."""
    student = drawn.student.clone().requires_grad_()
    both, right = (
        normalised_losses(student, drawn.teacher, drawn.labels, temperature, gamma).mean() for gamma in (1, 0)
    )
    wrong = decoupled_losses(student, drawn.teacher, drawn.labels, temperature, alpha=0, beta=1).mean()
    (found,), (expected,) = (torch.autograd.grad(each, student, retain_graph=True) for each in (both - right, wrong))
    assert torch.allclose(found, expected, atol=1e-9)


def test_the_right_class_is_not_softened() -> None:
    drawn = example()
    cold, warm = (normalised_losses(drawn.student, drawn.teacher, drawn.labels, each, 0) for each in (1.0, 4.0))
    assert torch.equal(cold, warm)
