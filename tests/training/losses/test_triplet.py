from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Mixed
from edgekd.training.losses.triplet import triplet_losses

from .conftest import built, compared, in_two_views, loss, noise, shapes_of

SEEDS = st.integers(0, 2**31)


def by_hand(student: Tensor, teacher: Tensor, labels: list[int], margin: float, *, hardest: bool) -> list[float]:
    s, t = (each.numpy() / np.linalg.norm(each.numpy(), axis=1, keepdims=True) for each in (student, teacher))
    losses = []
    for i, label in enumerate(labels):
        positive = float(((s[i] - t[i]) ** 2).sum())
        negatives = [
            float(((s[i] - t[j]) ** 2).sum())
            for j, other in enumerate(labels)
            if j != i and (label != other or label < 0 or other < 0)
        ]
        if not negatives:
            losses.append(0.0)
            continue
        farther = [each for each in negatives if each > positive]
        chosen = min(negatives) if hardest else min(farther) if farther else max(negatives)
        losses.append(max(0.0, positive - chosen + margin))
    return losses


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("labels", [[0, 1, 2, 0, 1, 2], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1], [-1, -1, 0, 0, -1, 2]])
@pytest.mark.parametrize("margin", [0.0, 0.2, 2.0])
def test_it_is_the_formula_computed_triplet_by_triplet(hardest: bool, labels: list[int], margin: float) -> None:
    student, teacher = noise(1, 6, 4), noise(2, 6, 4)
    found = triplet_losses(student, teacher, torch.tensor(labels), margin, hardest=hardest)
    assert found.tolist() == pytest.approx(by_hand(student, teacher, labels, margin, hardest=hardest), abs=1e-12)


@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_lengths_do_not_matter_and_the_hardest_negative_costs_most(seed: int, scale: float) -> None:
    student, teacher, labels = noise(seed, 6, 4), noise(seed + 1, 6, 4), torch.arange(6) % 3
    values = {hardest: triplet_losses(student, teacher, labels, 0.2, hardest=hardest) for hardest in (True, False)}
    scaled = triplet_losses(scale * student, teacher / scale, labels, 0.2, hardest=False)
    assert torch.allclose(scaled, values[False], atol=1e-9)
    assert (values[True] >= values[False] - 1e-12).all()
    assert (values[False] >= 0).all()


@given(seed=SEEDS)
def test_a_student_that_says_what_the_teacher_says_pays_for_close_classes_alone(seed: int) -> None:
    teacher, labels = noise(seed, 6, 4), torch.arange(6)
    without_margin = triplet_losses(5 * teacher, teacher, labels, 0.0, hardest=True)
    assert without_margin.tolist() == pytest.approx([0] * 6, abs=1e-9)
    far_apart = torch.eye(6, dtype=torch.float64)
    assert not triplet_losses(far_apart, far_apart, labels, 0.2, hardest=True).any()


def test_other_samples_of_the_same_class_are_no_negatives() -> None:
    student, teacher = noise(1, 4, 3), noise(2, 4, 3)
    assert not triplet_losses(student, teacher, torch.zeros(4).long(), 4.0, hardest=True).any()
    unknown = triplet_losses(student, teacher, torch.full((4,), -1), 4.0, hardest=True)
    assert torch.equal(unknown, triplet_losses(student, teacher, torch.arange(4), 4.0, hardest=True))


def test_an_anchor_without_a_negative_has_a_finite_gradient() -> None:
    for hardest in (True, False):
        student = noise(1, 3, 4).requires_grad_()
        triplet_losses(student, noise(2, 3, 4), torch.zeros(3).long(), 0.2, hardest=hardest).sum().backward()  # type: ignore[no-untyped-call]
        assert student.grad is not None
        assert not student.grad.any()


def test_of_mixed_samples_each_label_counts_by_its_share() -> None:
    student, teacher = noise(1, 4, 3), noise(2, 4, 3)
    plain = compared(student, teacher, labels=torch.tensor([0, 1, 2, 2]))
    others, share = torch.tensor([2, 2, 0, 1]), torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    mixed = dataclasses.replace(plain, batch=dataclasses.replace(plain.batch, mixed=Mixed(others, share)))
    term = built(loss("triplet", margin=1.0), given=plain)
    assert isinstance(term, nn.Module)
    (linear,) = (each for each in term.modules() if isinstance(each, nn.Linear))
    embedding = (student @ linear.weight.T + linear.bias).detach()
    first, second = (
        np.array(by_hand(embedding, teacher, labels, 1.0, hardest=False)) for labels in ([0, 1, 2, 2], others.tolist())
    )
    expected = (share.numpy() * first + (1 - share.numpy()) * second).mean()
    assert float(term(mixed).detach()) == pytest.approx(expected, rel=1e-9)
    assert float(term(plain).detach()) == pytest.approx(first.mean(), rel=1e-9)


def test_it_has_no_root_and_so_a_gradient_where_anchor_and_positive_are_one() -> None:
    teacher = torch.eye(3, dtype=torch.float64)
    student = teacher.clone().requires_grad_()
    losses = triplet_losses(student, teacher, torch.arange(3), 3.0, hardest=False)
    assert losses.tolist() == pytest.approx([1.0, 1.0, 1.0])  # 0 - 2 + 3
    losses.sum().backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert all(math.isfinite(each) for each in student.grad.flatten().tolist())


def test_one_class_is_refused() -> None:
    given = compared(noise(0, 4, 3), noise(1, 4, 3))
    with pytest.raises(ConfigError, match="no sample is a negative"):
        loss("triplet").build(dataclasses.replace(shapes_of(given), classes=1))


@pytest.mark.parametrize("negatives", ["semi_hard", "hardest"])
def test_the_other_view_of_a_sample_is_never_its_negative(negatives: str) -> None:
    """Not without labels either, and not where mixup gives it another one."""
    student, teacher = noise(1, 4, 3), noise(2, 4, 3)
    for labels in ([-1, -1, 0, 0], [0, 1, 0, 1]):
        given = in_two_views(compared(student, teacher, labels=torch.tensor(labels)))
        term = built(loss("triplet", negatives=negatives, margin=4), given=given)
        strangers = given.batch.strangers(torch.device("cpu"))
        assert strangers.tolist() == [[i // 2 != j // 2 for j in range(4)] for i in range(4)]
        assert isinstance(term, nn.Module)
        (linear,) = (each for each in term.modules() if isinstance(each, nn.Linear))
        s, t = (
            each / np.linalg.norm(each, axis=1, keepdims=True)
            for each in ((student @ linear.weight.T + linear.bias).detach().numpy(), teacher.numpy())
        )
        total = 0.0
        for i, label in enumerate(labels):
            positive = ((s[i] - t[i]) ** 2).sum()
            others = [j for j in range(4) if j // 2 != i // 2 and (label < 0 or labels[j] < 0 or label != labels[j])]
            distances = [((s[i] - t[j]) ** 2).sum() for j in others]
            if not distances:
                continue
            farther = [each for each in distances if each > positive]
            hard = min(distances) if negatives == "hardest" else min(farther, default=max(distances))
            total += max(0.0, positive - hard + 4) / 4
        assert float(term(given).detach()) == pytest.approx(total, rel=1e-9)
