from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.losses.logit_regression import logit_regression_loss

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, example, said


def test_it_has_the_published_value() -> None:
    assert float(built(loss("logit_regression"))(lesson())) == pytest.approx(VALUES["logit_mse"], rel=1e-9)


@pytest.mark.parametrize("centred", [False, True])
def test_it_is_the_mean_of_squared_differences_one_at_a_time(centred: bool) -> None:
    drawn = example()
    total = 0.0
    for student, teacher, _ in drawn.rows:
        offset = sum(student) / 6 - sum(teacher) / 6 if centred else 0.0
        total += sum((s - t - offset) ** 2 for s, t in zip(student, teacher, strict=True)) / 6
    found = built(loss("logit_regression", centred=centred))(drawn.lesson)
    assert float(found) == pytest.approx(total / 5, rel=1e-12)


@given(drawn=said(), offset=st.floats(-50, 50))
def test_centred_it_is_the_smallest_that_an_offset_of_each_sample_can_make_it(drawn: Said, offset: float) -> None:
    centred = float(logit_regression_loss(drawn.student, drawn.teacher, centred=True))
    assert float(logit_regression_loss(drawn.student + offset, drawn.teacher)) >= centred - 1e-9
    moved = float(logit_regression_loss(drawn.student + offset, drawn.teacher, centred=True))
    assert moved == pytest.approx(centred, abs=1e-9)


def test_soft_targets_come_to_half_of_the_centred_one_at_a_high_temperature() -> None:
    """Hinton's equation 4; the published value is of the limit itself."""
    given = lesson()
    (teacher,) = (each.logits for each in given.teachers.values())
    half = float(logit_regression_loss(given.student.logits, teacher, centred=True)) / 2
    assert half == pytest.approx(VALUES["kd_limit_T_inf"], rel=1e-9)
    assert float(soft_target_loss(given.student.logits, teacher, 1e4)) == pytest.approx(half, rel=1e-3)


def test_the_student_is_not_drawn_to_log_probabilities_that_are_scaled_on_one_side() -> None:
    """A published lesson compares log softmax(s) with log softmax(t / T): the student that has learned it all is not at
    its smallest, and one that is T times less sure is."""
    drawn = example()
    teacher = drawn.teacher
    scaled = torch.nn.functional.mse_loss(teacher.log_softmax(1), (teacher / 4).log_softmax(1))
    assert float(scaled) > 0.1
    assert float(logit_regression_loss(teacher, teacher)) == 0
    assert float(logit_regression_loss(teacher / 4, teacher, centred=True)) > 0.1
