from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekd.training.losses.entropy import entropy
from edgekd.training.objective import objective_from

from .conftest import VALUES, built, lesson, loss, shapes_of

LOGITS = arrays(np.float64, (3, 5), elements=st.floats(-500, 500))


def test_it_has_the_published_value_and_the_penalty_is_its_negative() -> None:
    assert float(built(loss("entropy"))(lesson())) == pytest.approx(VALUES["entropy_student"], rel=1e-9)
    assert float(built(loss("confidence_penalty"))(lesson())) == pytest.approx(-VALUES["entropy_student"], rel=1e-9)


def test_it_is_the_expected_surprise() -> None:
    logits = np.random.default_rng(1).normal(size=(4, 6)) * 3
    expected = 0.0
    for row in logits:
        weights = [math.exp(each) for each in row]
        for weight in weights:
            probability = weight / sum(weights)
            expected += probability * math.log(1 / probability) / len(logits)
    assert float(entropy(torch.from_numpy(logits))) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50)
@given(LOGITS)
def test_it_lies_between_one_sure_class_and_all_alike(
    logits: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    given = torch.from_numpy(logits)
    assert -1e-12 <= float(entropy(given)) <= math.log(5) + 1e-12
    assert float(entropy(given.flip(1) + 3)) == pytest.approx(float(entropy(given)), abs=1e-9)


def test_a_probability_of_zero_is_worth_nothing_and_has_a_finite_gradient() -> None:
    """log(softmax) would be -inf there, and 0 times it not a number."""
    logits = torch.tensor([[500.0, -500.0, -500.0]], requires_grad=True)
    value = entropy(logits)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(1, 3))


@pytest.mark.parametrize("use", ["entropy", "confidence_penalty"])
def test_it_needs_no_teacher_and_no_label(use: str) -> None:
    made = loss(use)
    assert not made.taught
    values = [float(built(made)(lesson(teachers={}, labels=torch.tensor(labels)))) for labels in ([0, 0, 0], [3, 1, 2])]
    assert values[0] == values[1]


def test_one_step_down_makes_answers_surer_and_with_the_penalty_less_sure() -> None:
    for use, rises in (("entropy", False), ("confidence_penalty", True)):
        student = lesson().student.logits.requires_grad_()
        (gradient,) = torch.autograd.grad(built(loss(use))(lesson(student=student)), student)
        after = entropy((student - 0.1 * gradient).detach())
        assert (after > entropy(student.detach())) == rises


def test_the_sum_with_the_penalty_may_be_negative() -> None:
    student = 20 * torch.nn.functional.one_hot(torch.tensor([2, 3, 1]), 4).double() * 1e-3
    given = lesson(student=student)
    losses = [loss("cross_entropy", weight=0.1), loss("confidence_penalty", weight=2)]
    total, _ = objective_from(losses, shapes_of(given), seed=0, section="distill")(given)
    assert float(total) < 0
