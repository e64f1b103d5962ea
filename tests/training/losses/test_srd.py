from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.training.losses.srd import srd_loss

from .conftest import built, compared, loss, noise, tensor

SEEDS = st.integers(0, 2**31)


def by_hand(student: torch.Tensor, teacher: torch.Tensor) -> float:
    s, t = student.numpy(), teacher.numpy()
    total = 0.0
    for feature in range(s.shape[1]):
        sides = []
        for vectors in (s, t):
            column = vectors[:, feature]
            sides.append((column - np.mean(column)) / math.sqrt(np.var(column) + 1e-4))
        total += sum(abs(mine - theirs) ** 4 for mine, theirs in zip(*sides, strict=True))
    return 2 * math.log(total + 1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_formula_computed_element_by_element(seed: int) -> None:
    student, teacher = noise(seed, 7, 3), 4 * noise(seed + 10, 7, 3) + 2
    assert float(srd_loss(student, teacher)) == pytest.approx(by_hand(student, teacher), rel=1e-12)
    half = tensor("et")[:, :3]
    assert float(srd_loss(tensor("es"), half)) == pytest.approx(by_hand(tensor("es"), half), rel=1e-12)


def test_it_normalises_as_batch_norm_in_training_does() -> None:
    student, teacher = noise(1, 9, 4), noise(2, 9, 4)
    norm = nn.BatchNorm1d(4, eps=1e-4, affine=False).double()
    expected = 2 * ((norm(student) - norm(teacher)).abs() ** 4).sum().log()
    assert float(srd_loss(student, teacher)) == pytest.approx(float(expected), rel=1e-9)


def test_the_term_projects_the_student_and_averages_maps_over_space() -> None:
    student, teacher = noise(3, 6, 2, 3, 4), noise(4, 6, 5, 2, 2)
    term = built(loss("srd"), given=compared(student, teacher))
    assert isinstance(term, nn.Module)
    (linear,) = (each for each in term.modules() if isinstance(each, nn.Linear))
    embedding = (student.mean((2, 3)) @ linear.weight.T + linear.bias).detach()
    expected = by_hand(embedding, teacher.mean((2, 3)))
    assert float(term(compared(student, teacher)).detach()) == pytest.approx(expected, rel=1e-9)


@given(seed=SEEDS, shift=st.floats(-50, 50), scale=st.floats(20, 2000))
def test_scale_and_offset_of_a_feature_hardly_matter(seed: int, shift: float, scale: float) -> None:
    student, teacher = 10 * noise(seed, 8, 3), 10 * noise(seed + 1, 8, 3)
    value = float(srd_loss(student, teacher))
    assert float(srd_loss(scale * student + shift, teacher * 2 - shift)) == pytest.approx(value, abs=1e-2)


@given(seed=SEEDS)
def test_twice_the_batch_adds_a_constant_and_leaves_the_gradient(seed: int) -> None:
    student, teacher = noise(seed, 5, 3).requires_grad_(), noise(seed + 1, 5, 3)
    once = srd_loss(student, teacher)
    twice = srd_loss(torch.cat([student] * 2), torch.cat([teacher] * 2))
    assert float(twice.detach()) == pytest.approx(float(once.detach()) + 2 * math.log(2), rel=1e-6)
    (before,), (after,) = (torch.autograd.grad(value, student) for value in (once, twice))
    assert torch.allclose(before, after, atol=1e-6)


def test_where_both_agree_it_is_the_least_there_is_and_finite() -> None:
    """The logarithm of the published sum is minus infinity there, and its gradient not a number."""
    vectors = noise(0, 6, 3)
    student = vectors.clone().requires_grad_()
    value = srd_loss(student, vectors)
    assert float(value.detach()) == pytest.approx(2 * math.log(1e-8))
    value.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert not student.grad.any()


def test_one_sample_has_no_spread_and_teaches_nothing() -> None:
    student = noise(0, 1, 3).requires_grad_()
    srd_loss(student, noise(1, 1, 3)).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert not student.grad.any()
