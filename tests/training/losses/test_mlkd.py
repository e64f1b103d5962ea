from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from edgekd.training.losses.kd import soft_target_loss
from edgekd.training.losses.mlkd import multi_level_loss

from .conftest import VALUES, built, in_two_views, lesson, loss, tensor

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


def made(seed: int, count: int = 6, classes: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3 * torch.randn(count, classes, dtype=torch.float64, generator=generator) for _ in range(2))
    return student, teacher


def softmax(row: NDArray[np.float64]) -> list[float]:
    weights = [math.exp(each) for each in row]
    return [each / sum(weights) for each in weights]


def by_loops(student: Tensor, teacher: Tensor, unsure: float, class_weight: float, sample_weight: float) -> float:
    count, classes = student.shape
    sure = [softmax(row) for row in teacher.numpy()]
    largest = [max(row) for row in sure]
    expected = [sum(row[each] for row in sure) for each in range(classes)]
    samples = [each <= np.quantile(largest, unsure) for each in largest]
    counted = [each <= np.quantile(expected, unsure) for each in expected]
    total = 0.0
    for temperature in TEMPERATURES:
        mine = [softmax(row / temperature) for row in student.numpy()]
        theirs = [softmax(row / temperature) for row in teacher.numpy()]
        for i in range(count):
            if samples[i]:
                divergence = sum(t * math.log(t / s) for t, s in zip(theirs[i], mine[i], strict=True))
                total += temperature**2 * divergence / count
        for c in range(classes):
            for d in range(classes):
                if counted[d]:
                    gap = sum(theirs[i][c] * theirs[i][d] - mine[i][c] * mine[i][d] for i in range(count)) / count
                    total += class_weight * gap**2 / classes
        for i in range(count):
            for j in range(count):
                if samples[j]:
                    gap = sum(theirs[i][c] * theirs[j][c] - mine[i][c] * mine[j][c] for c in range(classes))
                    total += sample_weight * gap**2 / count**2
    return total


@pytest.mark.parametrize("unsure", [0.5, 0.3, 1.0])
@pytest.mark.parametrize(("class_weight", "sample_weight"), [(4096.0, 64.0), (0.0, 2.0), (3.0, 0.0)])
def test_it_is_the_formula_written_out(unsure: float, class_weight: float, sample_weight: float) -> None:
    student, teacher = made(1)
    found = multi_level_loss(
        student, teacher, TEMPERATURES, unsure=unsure, class_weight=class_weight, sample_weight=sample_weight
    )
    expected = by_loops(student, teacher, unsure, class_weight, sample_weight)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_with_all_samples_and_one_temperature_its_first_part_is_the_published_kd() -> None:
    options = {"unsure": 1, "class_weight": 0, "sample_weight": 0}
    assert float(built(loss("mlkd", temperatures=[4], **options))(lesson())) == pytest.approx(VALUES["kd_T4"], rel=1e-9)
    both = float(built(loss("mlkd", temperatures=[1, 2], **options))(lesson()))
    assert both == pytest.approx(VALUES["kd_T1"] + VALUES["kd_T2"], rel=1e-9)


def test_in_a_batch_of_64_its_relations_weigh_what_the_paper_has() -> None:
    student, teacher = made(2, count=64, classes=10)
    expected = 0.0
    for temperature in TEMPERATURES:
        mine, theirs = (torch.softmax(each / temperature, dim=1) for each in (student, teacher))
        expected += float(soft_target_loss(student, teacher, temperature))
        expected += float((theirs.T @ theirs - mine.T @ mine).square().sum()) / 10
        expected += float((theirs @ theirs.T - mine @ mine.T).square().sum()) / 64
    assert float(multi_level_loss(student, teacher, TEMPERATURES, unsure=1)) == pytest.approx(expected, rel=1e-12)


def test_a_sample_of_which_the_teacher_is_sure_is_left_out_and_no_constant_multiplies_the_others() -> None:
    """The published code multiplies the average over all samples by the share that is chosen."""
    student, teacher = made(3)
    teacher[[0, 2, 5]] *= 20
    student.requires_grad_()
    value = multi_level_loss(student, teacher, TEMPERATURES, class_weight=0, sample_weight=0)
    (gradient,) = torch.autograd.grad(value, student)
    chosen = [1, 3, 4]
    assert not gradient[[0, 2, 5]].any()
    expected = sum(float(soft_target_loss(student[chosen].detach(), teacher[chosen], each)) for each in TEMPERATURES)
    assert float(value.detach()) == pytest.approx(expected / 2)
    as_published = sum(float(soft_target_loss(student.detach(), teacher, each)) for each in TEMPERATURES) / 2
    assert float(value.detach()) != pytest.approx(as_published, rel=1e-3)


def test_classes_that_the_teacher_expects_most_have_no_relations_of_their_own() -> None:
    """Two classes: of their four relations, the two in the column of the expected one are left out."""
    teacher = torch.tensor([[2.0, -2.0], [3.0, -1.0], [1.0, 0.5]], dtype=torch.float64)
    student = torch.tensor([[0.5, -1.0], [2.0, 1.0], [-1.0, 0.5]], dtype=torch.float64)
    found = multi_level_loss(student, teacher, [2.0], class_weight=1, sample_weight=0)
    rest = multi_level_loss(student, teacher, [2.0], class_weight=0, sample_weight=0)
    mine, theirs = (torch.softmax(each / 2, dim=1) for each in (student, teacher))
    gaps = ((theirs.T @ theirs - mine.T @ mine) / 3).square()
    assert float(found - rest) == pytest.approx(float(gaps[:, 1].sum()) / 2, rel=1e-10)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_order_and_shifts_change_nothing_and_equality_is_worth_nothing(seed: int) -> None:
    student, teacher = made(seed)
    value = float(multi_level_loss(student, teacher, TEMPERATURES))
    assert value >= 0
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.randperm(6, generator=generator), torch.randperm(5, generator=generator)
    mine, theirs = (each[rows][:, columns] for each in (student, teacher))
    assert float(multi_level_loss(mine, theirs, TEMPERATURES)) == pytest.approx(value, rel=1e-9)
    shift = torch.randn(6, 1, dtype=torch.float64, generator=generator)
    assert float(multi_level_loss(student + shift, teacher - shift, TEMPERATURES)) == pytest.approx(value, rel=1e-9)
    assert float(multi_level_loss(teacher + shift, teacher, TEMPERATURES)) == pytest.approx(0, abs=1e-12)


def test_a_batch_of_one_and_one_of_equal_samples_are_finite() -> None:
    for count in (1, 4):
        student = torch.full((count, 3), 0.5, requires_grad=True)
        value = multi_level_loss(student, torch.tensor([[500.0, -500.0, 0.0]]).expand(count, 3), TEMPERATURES)
        value.backward()  # type: ignore[no-untyped-call]
        assert torch.isfinite(value)
        assert student.grad is not None
        assert torch.isfinite(student.grad).all()


def test_several_teachers_are_worth_their_mean() -> None:
    other = tensor("T").flip(1)
    term = built(loss("mlkd"))
    alone = [float(term(lesson(teachers={"a": each}))) for each in (tensor("T"), other)]
    assert float(term(lesson(teachers={"a": tensor("T"), "b": other}))) == pytest.approx(sum(alone) / 2)


@pytest.mark.parametrize("wrong", [{"temperatures": []}, {"temperatures": [0]}, {"unsure": 0}, {"unsure": 1.1}])
def test_options_that_leave_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        loss("mlkd", **wrong)


def test_each_view_of_a_batch_has_relations_of_its_own_and_the_paper_adds_what_is_averaged_here() -> None:
    student, teacher = made(4, count=8)
    given = in_two_views(lesson(student=student, teachers={"teacher": teacher}, labels=torch.zeros(8).long()))
    weak, strong = (by_loops(student[look::2], teacher[look::2], 0.5, 4096.0, 64.0) for look in (0, 1))
    assert 2 * float(built(loss("mlkd"))(given)) == pytest.approx(weak + strong, rel=1e-9)
