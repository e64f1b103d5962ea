from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.losses.ttm import transformed_teacher_loss

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, divergence, example, said, softmax


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, VALUES["ttm_g0.1"]),
        ({"weighted": True}, VALUES["wttm_g0.1"]),
        ({"gamma": 0.25}, VALUES["ttm_g0.25"]),
        ({"gamma": 0.25, "weighted": True}, VALUES["wttm_g0.25"]),
        ({"gamma": 1}, VALUES["kd_T1"]),
        ({"gamma": 1, "weighted": True}, VALUES["kd_T1"]),
    ],
)
def test_it_has_the_published_values(options: dict[str, float], expected: float) -> None:
    assert float(built(loss("ttm", **options))(lesson())) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_what_powers_of_probabilities_give_one_sample_at_a_time(weighted: bool) -> None:
    drawn = example()
    total = 0.0
    for student, teacher, _ in drawn.rows:
        powers = [each**0.3 for each in softmax(teacher)]
        value = divergence([each / sum(powers) for each in powers], softmax(student))
        total += value * (sum(powers) if weighted else 1) / 5
    assert float(built(loss("ttm", gamma=0.3, weighted=weighted))(drawn.lesson)) == pytest.approx(total, rel=1e-9)


@given(drawn=said(), gamma=st.floats(0.05, 1), weighted=st.booleans())
def test_the_student_that_is_the_softened_teacher_has_nothing_to_learn(
    drawn: Said, gamma: float, weighted: bool
) -> None:
    value = transformed_teacher_loss(gamma * drawn.teacher, drawn.teacher, gamma, weighted=weighted)
    assert float(value) == pytest.approx(0, abs=1e-9)


@given(drawn=said(), gamma=st.floats(0.05, 0.9))
def test_a_sample_counts_from_once_to_as_often_as_a_teacher_without_a_clue_makes_it(drawn: Said, gamma: float) -> None:
    plain, weighted = (
        float(transformed_teacher_loss(drawn.student, drawn.teacher, gamma, weighted=each)) for each in (False, True)
    )
    most = drawn.student.shape[1] ** (1 - gamma)
    assert plain * (1 - 1e-9) <= weighted <= plain * most * (1 + 1e-9)
    clueless = torch.zeros_like(drawn.teacher)
    once, often = (transformed_teacher_loss(drawn.student, clueless, gamma, weighted=each) for each in (False, True))
    assert float(often) == pytest.approx(float(once) * most, rel=1e-9)


def test_the_student_has_no_temperature() -> None:
    """Soft targets soften both sides, so that a student as unsure as the softened teacher is not yet right for them."""
    drawn = example()
    assert float(transformed_teacher_loss(drawn.teacher / 10, drawn.teacher, 0.1)) == pytest.approx(0, abs=1e-12)
    assert float(soft_target_loss(drawn.teacher / 10, drawn.teacher, 10.0)) > 0.1


def test_a_power_is_above_0_and_up_to_1() -> None:
    for gamma in (0, 1.1):
        with pytest.raises(ValidationError):
            loss("ttm", gamma=gamma)
