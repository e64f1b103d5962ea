from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgekd.training.losses.dist import correlation_loss, row_distance

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, example, said, softmax


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, VALUES["dist_T1"]),
        ({"gamma": 0}, VALUES["dist_T1_inter"]),
        ({"beta": 0}, VALUES["dist_T1_intra"]),
        ({"beta": 2, "gamma": 3}, 2 * VALUES["dist_T1_inter"] + 3 * VALUES["dist_T1_intra"]),
        ({"temperature": 4}, VALUES["dist_T4"]),
    ],
)
def test_it_has_the_published_values(options: dict[str, float], expected: float) -> None:
    assert float(built(loss("dist", **options), temperature=9)(lesson())) == pytest.approx(expected, rel=1e-9)


def test_without_a_temperature_it_takes_the_sections() -> None:
    term = built(loss("dist", temperature=None), temperature=4)
    assert float(term(lesson())) == pytest.approx(VALUES["dist_T4"], rel=1e-9)


def test_it_is_what_correlations_give_one_row_and_one_column_at_a_time() -> None:
    drawn = example()
    mine = np.array([softmax(student, 2) for student, _, _ in drawn.rows])
    theirs = np.array([softmax(teacher, 2) for _, teacher, _ in drawn.rows])
    rows = [np.corrcoef(mine[row], theirs[row])[0, 1] for row in range(5)]
    columns = [np.corrcoef(mine[:, column], theirs[:, column])[0, 1] for column in range(6)]
    expected = 4 * (1 - np.mean(rows) + 0.5 * (1 - np.mean(columns)))
    assert float(built(loss("dist", gamma=0.5, temperature=2))(drawn.lesson)) == pytest.approx(expected, rel=1e-9)


@given(drawn=said(samples=2), scale=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_probabilities_need_only_agree_up_to_a_factor_and_an_offset(drawn: Said, scale: float, offset: float) -> None:
    mine, theirs = drawn.student.softmax(1), drawn.teacher.softmax(1)
    expected = float(row_distance(mine, theirs))
    assert float(row_distance(scale * mine + offset, theirs)) == pytest.approx(expected, abs=1e-6)
    assert float(row_distance(mine, scale * theirs + offset)) == pytest.approx(expected, abs=1e-6)
    assert float(row_distance(-scale * mine, theirs)) == pytest.approx(2 - expected, abs=1e-6)


@given(drawn=said(samples=2))
def test_it_is_between_0_and_2_for_rows_and_for_columns(drawn: Said) -> None:
    for beta, gamma in ((1, 0), (0, 1)):
        value = float(correlation_loss(drawn.student, drawn.teacher, 1.0, beta=beta, gamma=gamma))
        assert -1e-9 <= value <= 2 + 1e-9


def test_in_a_batch_of_one_only_its_own_classes_teach() -> None:
    drawn = example(samples=1)

    def gradient(gamma: float) -> tuple[float, Tensor]:
        student = drawn.student.clone().requires_grad_()
        value = correlation_loss(student, drawn.teacher, 1.0, gamma=gamma)
        return float(value.detach()), torch.autograd.grad(value, student)[0]

    (without, alone), (together, both) = gradient(0), gradient(3)
    assert together == pytest.approx(without + 3)
    assert torch.equal(alone, both)


def test_a_rare_class_correlates_with_itself() -> None:
    """The published 1e-8 beside the product of both lengths makes it a stranger to itself."""
    logits = torch.tensor([[0.0, 1.0, -12.0], [1.0, 0.0, -14.0], [0.5, 0.0, -13.0]])
    assert float(correlation_loss(logits, logits, 1.0)) == pytest.approx(0, abs=1e-5)
    rare = logits.softmax(1).T
    centred = rare - rare.mean(1, keepdim=True)
    published = 1 - ((centred * centred).sum(1) / (centred.norm(dim=1) ** 2 + 1e-8)).mean()
    assert float(published) > 0.3


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-7, 1e-30])
def test_rounding_is_no_relation_to_learn_from(value: float) -> None:
    """Its direction is noise, and the gradient would be as large as the noise is small."""
    row = torch.full((1, 7), value) * torch.tensor([1, 1, 1, 1 + 2e-7, 1, 1, 1])
    row.requires_grad_()
    distance = row_distance(row, torch.arange(7.0)[None])
    (gradient,) = torch.autograd.grad(distance, row)
    assert float(distance.detach()) == 1
    assert not gradient.any()


def test_a_class_too_rare_for_its_squares_is_no_relation_either() -> None:
    row = torch.tensor([[1e-22, 0.0, 3e-22, 5e-23]], requires_grad=True)
    distance = row_distance(row, row.detach())
    assert float(distance.detach()) == 1
    assert not torch.autograd.grad(distance, row)[0].any()
