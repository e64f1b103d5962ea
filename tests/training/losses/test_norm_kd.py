from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.losses.norm_kd import normalised_temperature_loss
from edgekd.training.losses.parts import standardised

from .conftest import VALUES, built, lesson, loss
from .drawn import Said, divergence, example, said, softmax


def test_it_has_the_published_value() -> None:
    assert float(built(loss("norm_kd"))(lesson())) == pytest.approx(VALUES["normkd_2"], rel=1e-6)


def test_it_is_what_each_samples_own_temperature_gives() -> None:
    drawn = example()
    total = 0.0
    for student, teacher, _ in drawn.rows:
        mine, theirs = 1.5 * statistics.stdev(student), 1.5 * statistics.stdev(teacher)
        total += theirs**2 * divergence(softmax(teacher, theirs), softmax(student, mine)) / 5
    assert float(built(loss("norm_kd", deviations=1.5))(drawn.lesson)) == pytest.approx(total, rel=1e-6)


def test_the_divisor_of_the_deviation_is_one_less_than_the_classes() -> None:
    given = lesson()
    (teacher,) = (each.logits for each in given.teachers.values())
    temperatures = [2 * each.std(dim=1, correction=0, keepdim=True) for each in (given.student.logits, teacher)]
    mine, theirs = given.student.logits / temperatures[0], teacher / temperatures[1]
    biased = (theirs.softmax(1) * (theirs.log_softmax(1) - mine.log_softmax(1))).sum(1) @ temperatures[1].squeeze() ** 2
    assert float(biased / 3) != pytest.approx(VALUES["normkd_2"], rel=1e-2)


@given(drawn=said(), scale=st.floats(0.1, 10))
def test_how_large_the_students_logits_are_does_not_matter_and_the_teachers_count_squared(
    drawn: Said, scale: float
) -> None:
    assume(drawn.deviation > 0.1)  # beside 1e-7, which is added to it
    once = float(normalised_temperature_loss(drawn.student, drawn.teacher))
    assert float(normalised_temperature_loss(scale * drawn.student, drawn.teacher)) == pytest.approx(
        once, rel=1e-4, abs=1e-6
    )
    larger = float(normalised_temperature_loss(drawn.student, scale * drawn.teacher))
    assert larger == pytest.approx(scale**2 * once, rel=1e-4, abs=1e-4)


@given(drawn=said(), deviations=st.floats(0.5, 5))
def test_of_teachers_with_a_deviation_of_1_it_is_kd_with_standardised_logits(drawn: Said, deviations: float) -> None:
    assume(drawn.deviation > 0.1)
    teacher = standardised(drawn.teacher)
    expected = soft_target_loss(standardised(drawn.student), teacher, deviations)
    found = normalised_temperature_loss(drawn.student, teacher, deviations)
    assert float(found) == pytest.approx(float(expected), rel=1e-4, abs=1e-6)


def test_a_teacher_that_says_the_same_of_all_classes_counts_nothing() -> None:
    student = torch.tensor([[1.0, 2.0, 0.0]], requires_grad=True)
    value = normalised_temperature_loss(student, torch.full((1, 3), 7.0))
    (gradient,) = torch.autograd.grad(value, student)
    assert float(value.detach()) == 0
    assert not gradient.any()
