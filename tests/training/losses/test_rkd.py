from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgekd.training.losses.rkd import angle_loss, distance_loss

from .conftest import LAYER, VALUES, built, lesson, loss, tensor
from .features import Array, Value, gradient, must_bear_anything, random, rotation

RELATIONS = {"distance": distance_loss, "angle": angle_loss}


@pytest.fixture(params=RELATIONS)
def relation(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def value(relation: str) -> Value:
    return RELATIONS[relation]


def test_it_has_the_published_value(relation: str, value: Value) -> None:
    assert float(value(tensor("es"), tensor("et"))) == pytest.approx(VALUES[f"rkd_{relation}"], abs=5e-11)


def test_the_registered_term_is_this_function(relation: str, value: Value) -> None:
    given = lesson()
    expected = float(value(given.student.taps[LAYER], given.teachers["teacher"].taps[LAYER]))
    assert float(built(loss("rkd", relation=relation))(given)) == expected


def smooth_l1(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def distances_by_hand(vectors: Array) -> list[float]:
    found = [float(np.sqrt(((one - other) ** 2).sum())) for one in vectors for other in vectors]
    positive = [each for each in found if each > 0]
    return [each * len(positive) / sum(positive) for each in found]


def angles_by_hand(vectors: Array) -> list[float]:
    found = []
    for vertex in vectors:
        for one in vectors:
            for other in vectors:
                left, right = one - vertex, other - vertex
                lengths = float(np.sqrt((left**2).sum() * (right**2).sum()))
                found.append(float((left * right).sum()) / lengths if lengths else 0.0)
    return found


def by_hand(relation: str, student: Array, teacher: Array) -> float:
    relations = distances_by_hand if relation == "distance" else angles_by_hand
    pairs = zip(relations(student), relations(teacher), strict=True)
    return float(np.mean([smooth_l1(mine - theirs) for mine, theirs in pairs]))


def test_other_data_agree_with_loops_over_the_formula(relation: str, value: Value) -> None:
    student, teacher = random(1, 6, 3), random(2, 6, 5) ** 3  # some distances differ by more than 1
    expected = by_hand(relation, student.numpy(), teacher.numpy())
    assert float(value(student, teacher)) == pytest.approx(expected, rel=1e-12)


def test_of_alike_samples_there_is_no_distance_no_angle_and_the_mean_is_of_the_others(
    relation: str, value: Value
) -> None:
    student, teacher = random(1, 5, 3)[[0, 1, 1, 2, 3]], random(2, 5, 4)[[0, 0, 1, 2, 3]]
    expected = by_hand(relation, student.numpy(), teacher.numpy())
    assert float(value(student, teacher)) == pytest.approx(expected, rel=1e-12)


def test_layers_of_maps_are_flattened(value: Value) -> None:
    maps, vectors = random(1, 4, 3, 2, 2), random(2, 4, 5)
    assert float(value(maps, vectors)) == float(value(maps.flatten(1), vectors))


def test_gradients_are_those_of_finite_differences(value: Value) -> None:
    student, teacher = random(1, 4, 3).requires_grad_(), random(2, 4, 5)
    assert torch.autograd.gradcheck(lambda each: value(each, teacher), student)


@pytest.mark.parametrize("relation", RELATIONS)
@given(st.integers(0, 10**6), st.floats(1e-2, 1e2), st.permutations(range(5)))
def test_neither_place_nor_scale_nor_rotation_nor_order_counts(
    relation: str, seed: int, scale: float, order: list[int]
) -> None:
    value = RELATIONS[relation]
    student, teacher = random(seed, 5, 4), random(seed + 1, 5, 3)
    found = float(value(student, teacher))
    assert found > 0
    moved = scale * student @ rotation(seed, 4) + random(seed + 2, 4)
    assert float(value(moved, teacher)) == pytest.approx(found, rel=1e-9)
    assert float(value(student[order], teacher[order])) == pytest.approx(found, rel=1e-9)
    assert float(value(teacher, student)) == pytest.approx(found, rel=1e-9)
    assert float(value(moved, student)) == pytest.approx(0, abs=1e-20)


def test_the_mean_distance_moves_with_the_student() -> None:
    """Taken as a constant, a student that only has to grow would be pulled."""
    teacher = random(1, 5, 3)
    _, slope = gradient(distance_loss, 3 * teacher, teacher)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)
    student = random(2, 5, 3)
    _, slope = gradient(distance_loss, student, teacher)
    assert float((slope * student).sum()) == pytest.approx(0, abs=1e-12)  # none along its scale


def published(student: Tensor, teacher: Tensor) -> Tensor:
    """Distances from inner products, at least 1e-6, as in the authors' code."""

    def distances(vectors: Tensor) -> Tensor:
        squares = vectors.square().sum(1)
        found = (squares[:, None] + squares[None] - 2 * vectors @ vectors.T).clamp(min=1e-12).sqrt()
        found = found * (1 - torch.eye(len(vectors)))
        return found / found[found > 0].mean()

    return torch.nn.functional.smooth_l1_loss(distances(student), distances(teacher))


def test_far_from_the_origin_distances_stay_what_they_are_in_float32(relation: str, value: Value) -> None:
    student, teacher = 0.01 * random(1, 6, 8), random(2, 6, 8)
    found, expected = (float(value((student + offset).float(), teacher.float())) for offset in (100, 0))
    assert found == pytest.approx(expected, rel=0.02)
    if relation == "distance":  # the published formula is what this guards from
        wrong, right = (float(published((student + offset).float(), teacher.float())) for offset in (100, 0))
        assert wrong != pytest.approx(right, rel=0.5)


def test_too_few_samples_say_nothing(relation: str, value: Value) -> None:
    for samples in (1, 2):
        found, slope = gradient(value, random(1, samples, 4), random(2, samples, 4))
        assert found == pytest.approx(0, abs=1e-20)
        torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_it_bears_anything(value: Value) -> None:
    must_bear_anything(value, 4, 3, 2, 2)
