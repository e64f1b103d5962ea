from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from edgekd.training.losses.dkd import decoupled_losses
from edgekd.training.losses.kd import soft_target_loss

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, divergence, example, said, softmax, without


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, VALUES["dkd_T4_a1_b8"]),
        ({"alpha": 1, "beta": 0}, VALUES["dkd_T4_tckd"]),
        ({"alpha": 0, "beta": 1}, VALUES["dkd_T4_nckd"]),
        ({"alpha": 0.5, "beta": 2}, 0.5 * VALUES["dkd_T4_tckd"] + 2 * VALUES["dkd_T4_nckd"]),
    ],
)
def test_it_has_the_published_values(options: dict[str, float], expected: float) -> None:
    assert float(built(loss("dkd", **options))(lesson())) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_it_is_what_probabilities_give_one_sample_at_a_time(temperature: float) -> None:
    drawn = example()
    total = 0.0
    for student, teacher, label in drawn.rows:
        p, q = softmax(teacher, temperature), softmax(student, temperature)
        right = divergence([p[label], 1 - p[label]], [q[label], 1 - q[label]])
        p_wrong = [each / (1 - p[label]) for each in without(p, label)]
        q_wrong = [each / (1 - q[label]) for each in without(q, label)]
        total += temperature**2 * (0.7 * right + 3 * divergence(p_wrong, q_wrong)) / 5
    term = built(loss("dkd", alpha=0.7, beta=3), temperature=temperature)
    assert float(term(drawn.lesson)) == pytest.approx(total, rel=1e-9)


@given(drawn=said(), temperature=st.floats(0.5, 8))
def test_soft_targets_are_its_parts_with_the_second_weighed_by_how_unsure_the_teacher_is(
    drawn: Said, temperature: float
) -> None:
    right, wrong = (
        decoupled_losses(drawn.student, drawn.teacher, drawn.labels, temperature, alpha=alpha, beta=1 - alpha)
        for alpha in (1, 0)
    )
    sure = (drawn.teacher / temperature).softmax(1).gather(1, drawn.labels[:, None]).squeeze(1)
    expected = float(soft_target_loss(drawn.student, drawn.teacher, temperature))
    assert float((right + (1 - sure) * wrong).mean()) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@given(drawn=said(), by=st.floats(-30, 30))
def test_what_the_wrong_classes_are_like_does_not_depend_on_the_right_one(drawn: Said, by: float) -> None:
    own = functional.one_hot(drawn.labels, drawn.student.shape[1])
    once, moved = (
        decoupled_losses(student, drawn.teacher, drawn.labels, 1.0, alpha=0, beta=1)
        for student in (drawn.student, drawn.student + by * own)
    )
    assert torch.allclose(once, moved, atol=1e-9)


def test_logits_whose_probabilities_are_nothing_have_the_value_that_they_have() -> None:
    """The published code takes the logarithm of a softmax that is 0, and its -1000 for the right class is too little
    where that is 1000 above the others."""
    student, teacher = torch.tensor([[500.0, -500.0, -499.0]]), torch.tensor([[-500.0, 500.0, 500.0]])
    labels = torch.tensor([0])
    right = decoupled_losses(student, teacher, labels, 1.0, alpha=1, beta=0)
    assert float(right) == pytest.approx(999 - math.log(1 + math.exp(-1)), rel=1e-6)
    low = 1 / (1 + math.e)
    wrong = decoupled_losses(student, teacher, labels, 1.0, alpha=0, beta=1)
    assert float(wrong) == pytest.approx(divergence([0.5, 0.5], [low, 1 - low]), rel=1e-5)
    published = torch.log(torch.softmax(student, 1))
    assert torch.isinf(published).any()
    masked = torch.log_softmax(student - 1000 * functional.one_hot(labels, 3), 1)[:, 1:]
    assert not torch.allclose(masked.exp().sum(), torch.tensor(1.0))
