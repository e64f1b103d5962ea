from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Mixed
from edgekd.training.losses.class_costs import ClassCosts
from edgekd.training.losses.wkd_logits import non_target_distance, target_cross_entropy, transport_cost

from .conftest import built, lesson, loss, tensor

Array = NDArray[np.float64]


def cheapest(source: Array, target: Array, cost: Array) -> float:
    """The Wasserstein distance itself, as a linear programme over all plans."""
    count = len(source)
    rows = np.kron(np.eye(count), np.ones(count))
    columns = np.kron(np.ones(count), np.eye(count))
    # without the last equation, which follows from the others, and contradicts them by a rounding error now and then
    equations, sums = np.vstack([rows, columns[:-1]]), np.concatenate([source, target[:-1]])
    solved = linprog(cost.ravel(), A_eq=equations, b_eq=sums)
    assert solved.fun is not None
    return float(solved.fun)


def problem(seed: int, classes: int = 6, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Log probabilities of four samples, and costs."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (
        torch.log_softmax(spread * torch.randn(4, classes, dtype=torch.float64, generator=generator), dim=1)
        for _ in range(2)
    )
    points = torch.rand(classes, 2, dtype=torch.float64, generator=generator)
    return source, target, torch.cdist(points, points)


def exact(source: Tensor, target: Tensor, cost: Tensor) -> list[float]:
    pairs = zip(source.exp().numpy(), target.exp().numpy(), strict=True)
    return [cheapest(mine / mine.sum(), theirs / theirs.sum(), cost.numpy()) for mine, theirs in pairs]


@pytest.mark.parametrize("seed", range(5))
def test_with_little_regularisation_and_many_rounds_it_is_the_distance_of_linear_programming(seed: int) -> None:
    source, target, cost = problem(seed)
    found = transport_cost(source, target, cost, regularisation=0.005, iterations=5000)
    assert found.tolist() == pytest.approx(exact(source, target, cost), rel=0.02)


@settings(max_examples=50)
@given(
    seed=st.integers(0, 10_000),
    spread=st.floats(0, 5),
    regularisation=st.floats(0.01, 1),
    iterations=st.integers(1, 15),
)
def test_no_plan_is_cheaper_than_the_cheapest_however_few_rounds(
    seed: int, spread: float, regularisation: float, iterations: int
) -> None:
    source, target, cost = problem(seed, classes=4, spread=spread)
    found = transport_cost(source, target, cost, regularisation=regularisation, iterations=iterations)
    for value, least in zip(found.tolist(), exact(source, target, cost), strict=True):
        assert least - 1e-9 <= value <= float(cost.max())


def as_published(source: Tensor, target: Tensor, cost: Tensor) -> Tensor:
    """Ten rounds with what their end leaves, as in the authors' code."""
    kernel = (-cost / 0.05).exp()
    u = torch.full_like(source, 1 / source.shape[1])
    for _ in range(10):
        v = target.exp() / (u @ kernel + 1e-8)
        u = source.exp() / (v @ kernel.T + 1e-8)
    return (u[:, :, None] * kernel * v[:, None, :] * cost).sum(dim=(1, 2))


def test_ten_rounds_suffice_where_all_classes_are_unlike_and_the_published_ones_carry_almost_nothing() -> None:
    """The distance is half of Σ |p - q| then."""
    source, target, _ = problem(0, classes=9, spread=0.25)
    cost = 1 - torch.eye(9, dtype=torch.float64)
    distance = (source.exp() - target.exp()).abs().sum(dim=1) / 2
    found = transport_cost(source, target, cost, regularisation=0.05, iterations=10)
    assert found.tolist() == pytest.approx(distance.tolist(), rel=0.03)
    assert (as_published(source, target, cost) < 0.2 * distance).all()


def test_where_the_published_rounds_suffice_it_is_what_they_give() -> None:
    source, target, cost = problem(1, classes=9, spread=0.5)
    found = transport_cost(source, target, cost / 4, regularisation=0.05, iterations=30)
    assert found.tolist() == pytest.approx(as_published(source, target, cost / 4).tolist(), rel=1e-3)


def test_equal_answers_cost_nothing_where_classes_are_unlike() -> None:
    source, _, _ = problem(2)
    cost = 1 - torch.eye(6, dtype=torch.float64)
    assert transport_cost(source, source, cost, regularisation=0.05, iterations=10).max() < 1e-6


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(each) for each in values]
    return [each / sum(weights) for each in weights]


def by_loops(student: Array, teacher: Array, labels: list[int], temperature: float, rounds: int) -> float:
    """The whole term, with plain Sinkhorn rounds on probabilities."""
    count, classes = student.shape
    centred = teacher - teacher.mean(axis=1, keepdims=True)
    costs = 1 - np.corrcoef(centred.T).clip(0, 1)
    total = 0.0
    for row in range(count):
        label = labels[row]
        others = [each for each in range(classes) if each != label]
        mine = softmax([student[row, each] / temperature for each in others])
        theirs = softmax([teacher[row, each] / temperature for each in others])
        cost = costs[np.ix_(others, others)]
        kernel = np.exp(-cost / 0.2)
        u = np.ones(len(others))
        for _ in range(rounds):
            v = np.array(theirs) / (kernel.T @ u)
            u = np.array(mine) / (kernel @ v)
        distance = float((u[:, None] * kernel * v * cost).sum())
        total -= softmax(teacher[row].tolist())[label] * math.log(softmax(student[row].tolist())[label])
        total += 600 * distance
    return float(total / count)


def test_it_is_the_formula_written_out() -> None:
    """With rounds enough for the plan to arrive."""
    generator = np.random.default_rng(5)
    student, teacher = (2 * generator.normal(size=(7, 5)) for _ in range(2))
    labels = [0, 1, 2, 3, 4, 0, 2]
    given = lesson(
        student=torch.from_numpy(student),
        teachers={"teacher": torch.from_numpy(teacher)},
        labels=torch.tensor(labels),
        features=torch.zeros(7, 1),
    )
    term = built(loss("wkd_logits", iterations=1000, regularisation=0.2), temperature=8, given=given)
    assert float(term(given)) == pytest.approx(by_loops(student, teacher, labels, 8, 5000), rel=1e-4)


def test_without_transport_it_is_the_target_part_and_at_one_temperature_only() -> None:
    term = built(loss("wkd_logits", transport=0), temperature=8)
    mine, theirs = (torch.softmax(tensor(name), dim=1) for name in ("S", "T"))
    rows, labels = range(3), tensor("y").long()
    expected = -(theirs[rows, labels] * mine[rows, labels].log()).mean()
    assert float(term(lesson())) == pytest.approx(float(expected), rel=1e-12)
    assert float(target_cross_entropy(tensor("S"), tensor("T"), labels).mean()) == pytest.approx(float(expected))


def test_the_labels_class_has_no_part_in_the_distance() -> None:
    student, teacher, labels = tensor("S"), tensor("T"), tensor("y").long()
    cost = ClassCosts(4).double()(teacher)
    before = non_target_distance(student, teacher, labels, cost, regularisation=0.05, iterations=10)
    student[range(3), labels] += 5
    cost = cost.clone()
    after = non_target_distance(student, teacher, labels, cost, regularisation=0.05, iterations=10)
    assert torch.equal(before, after)


def test_a_step_down_brings_the_non_target_probabilities_nearer() -> None:
    student = tensor("S").requires_grad_()
    labels, teacher = tensor("y").long(), tensor("T")
    cost = 1 - torch.eye(4, dtype=torch.float64)

    def distance(logits: Tensor) -> Tensor:
        return non_target_distance(logits / 8, teacher / 8, labels, cost, regularisation=0.05, iterations=10).mean()

    (gradient,) = torch.autograd.grad(distance(student), student)
    assert distance(student.detach() - gradient) < distance(student.detach())


def test_a_mixed_sample_has_both_labels_by_their_share() -> None:
    others, share = torch.tensor([0, 1, 2]), torch.tensor([0.25, 1.0, 0.0])
    once = lesson()
    mixed = dataclasses.replace(once, batch=dataclasses.replace(once.batch, mixed=Mixed(others, share)))
    student, teacher, own = tensor("S"), tensor("T"), tensor("y").long()
    cost = ClassCosts(4).double()(teacher)
    per_sample = [
        target_cross_entropy(student, teacher, labels)
        + 600 * non_target_distance(student / 8, teacher / 8, labels, cost, regularisation=0.05, iterations=10)
        for labels in (own, others)
    ]
    expected = (share * per_sample[0] + (1 - share) * per_sample[1]).mean()
    assert float(built(loss("wkd_logits"), temperature=8)(mixed)) == pytest.approx(float(expected), rel=1e-12)


def test_every_teacher_has_its_own_costs_and_counts_the_same() -> None:
    teachers = {"a": tensor("T"), "b": tensor("T").flip(1) * 2}
    given = lesson(teachers=teachers)
    term = built(loss("wkd_logits"), given=given)
    alone = [float(built(loss("wkd_logits", network=name), given=given)(given)) for name in teachers]
    assert float(term(given)) == pytest.approx(sum(alone) / 2)
    assert isinstance(term, nn.Module)
    first, second = (each for each in term.modules() if isinstance(each, ClassCosts))
    assert not torch.equal(first.covariance, second.covariance)


def test_two_classes_are_refused() -> None:
    given = lesson(student=tensor("S")[:, :2], teachers={"teacher": tensor("T")[:, :2]})
    with pytest.raises(ConfigError, match="of 2 classes one is left"):
        built(loss("wkd_logits"), given=given)


def test_a_batch_of_one_has_a_finite_gradient_where_student_and_teacher_agree() -> None:
    student = torch.tensor([[500.0, -500.0, 0.0, 0.0]], requires_grad=True)
    given = lesson(student=student, teachers={"teacher": student.detach()}, labels=torch.tensor([0]))
    term = built(loss("wkd_logits"), given=given)
    assert isinstance(term, nn.Module)
    value = term.float()(given)
    value.backward()
    assert torch.isfinite(value)
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()
