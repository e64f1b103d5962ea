from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training.losses.pseudo_labels import pseudo_label_loss

from .conftest import VALUES, built, in_two_views, lesson, loss, tensor


def made(seed: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (scale * torch.randn(7, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return student, teacher


def test_a_teacher_that_names_the_right_classes_gives_the_published_cross_entropy() -> None:
    assert torch.equal(tensor("T").argmax(1), tensor("y").long())
    assert float(built(loss("pseudo_labels"))(lesson())) == pytest.approx(VALUES["cross_entropy"], rel=1e-9)
    wrong = torch.tensor([0, 0, 0])
    assert float(built(loss("pseudo_labels"))(lesson(labels=wrong))) == pytest.approx(VALUES["cross_entropy"], rel=1e-9)


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.95])
def test_it_is_the_cross_entropy_of_the_sure_ones_over_the_whole_batch(threshold: float) -> None:
    student, teacher = made(3)
    expected = 0.0
    for mine, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        weights = [math.exp(each) for each in theirs]
        label = int(np.argmax(weights))
        if weights[label] / sum(weights) >= threshold:
            own = [math.exp(each) for each in mine]
            expected -= math.log(own[label] / sum(own)) / len(student)
    assert float(pseudo_label_loss(student, teacher, threshold)) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), low=st.floats(0, 0.99), high=st.floats(0, 0.99))
def test_a_higher_threshold_never_counts_more(seed: int, low: float, high: float) -> None:
    student, teacher = made(seed)
    low, high = sorted((low, high))
    assert 0 <= float(pseudo_label_loss(student, teacher, high)) <= float(pseudo_label_loss(student, teacher, low))


def test_an_unsure_sample_teaches_nothing_and_takes_nothing_from_the_others() -> None:
    student, teacher = made(0)
    teacher[0] = 0.0
    teacher[1:] *= 10
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(pseudo_label_loss(student, teacher, 0.5), student)
    assert not gradient[0].any()
    (alone,) = torch.autograd.grad(pseudo_label_loss(student[1:], teacher[1:], 0.5), student)
    assert torch.allclose(gradient * 7, alone * 6)  # each sample's own gradient


def test_a_batch_without_a_sure_sample_is_worth_nothing() -> None:
    student = torch.randn(4, 5, requires_grad=True)
    value = pseudo_label_loss(student, torch.zeros(4, 5), 0.5)
    value.backward()  # type: ignore[no-untyped-call]
    assert float(value.detach()) == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_several_teachers_are_worth_their_mean() -> None:
    other = tensor("T").flip(1)
    term = built(loss("pseudo_labels", threshold=0.5))
    alone = [float(term(lesson(teachers={"a": each}))) for each in (tensor("T"), other)]
    assert float(term(lesson(teachers={"a": tensor("T"), "b": other}))) == pytest.approx(sum(alone) / 2)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_a_threshold_that_no_probability_need_reach_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError):
        loss("pseudo_labels", threshold=threshold)


def test_the_class_named_in_the_first_view_is_that_of_the_second_too() -> None:
    student, teacher = made(2)
    student, teacher = student[:6], teacher[:6]
    given = in_two_views(lesson(student=student, teachers={"teacher": teacher}, labels=torch.zeros(6).long()))
    first = teacher[[0, 0, 2, 2, 4, 4]]
    carried = built(loss("pseudo_labels", named_in="first_view", threshold=0.4))(given)
    assert float(carried) == float(pseudo_label_loss(student, first, 0.4))
    own = built(loss("pseudo_labels", threshold=0.4))(given)
    assert float(own) == float(pseudo_label_loss(student, teacher, 0.4)) != float(carried)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no second view"),
        ({"second_view": {"mixup": 0.2}}, "mixup and cutmix make another sample"),
        ({"second_view": {}, "augment": {"cutmix": 1}}, "mixup and cutmix make another sample"),
    ],
)
def test_a_class_cannot_be_carried_to_a_view_that_is_not_there_or_mixed(options: dict[str, object], words: str) -> None:
    carrying = loss("pseudo_labels", named_in="first_view")
    with pytest.raises(ConfigError, match=words):
        carrying.check(TrainingOptions.model_validate({"epochs": 1, **options}))
    carrying.check(TrainingOptions.model_validate({"epochs": 1, "second_view": {"erase": 3}}))
    loss("pseudo_labels").check(TrainingOptions.model_validate({"epochs": 1, **options}))
