from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.losses.contrastive import contrastive_loss

from .conftest import built, compared, in_two_views, loss, noise

SEEDS = st.integers(0, 2**31)


def by_hand(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    s, t = student.numpy(), teacher.numpy()
    total = 0.0
    for i in range(len(s)):
        cosines = [s[i] @ other / np.linalg.norm(s[i]) / np.linalg.norm(other) for other in t]
        exponentials = [math.exp(cosine / temperature) for cosine in cosines]
        total -= math.log(exponentials[i] / sum(exponentials))
    return total / len(s)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_is_the_formula_computed_sample_by_sample(temperature: float) -> None:
    student, teacher = noise(1, 6, 5), noise(2, 6, 5)
    expected = by_hand(student, teacher, temperature)
    assert float(contrastive_loss(student, teacher, temperature)) == pytest.approx(expected, rel=1e-12)


def test_the_term_projects_the_student_and_averages_maps_over_space() -> None:
    student, teacher = noise(3, 5, 2, 3, 4), noise(4, 5, 7, 2, 2)
    term = built(loss("contrastive"), given=compared(student, teacher))
    assert isinstance(term, nn.Module)
    (linear,) = (each for each in term.modules() if isinstance(each, nn.Linear))
    embedding = student.mean((2, 3)) @ linear.weight.T + linear.bias
    expected = by_hand(embedding.detach(), teacher.mean((2, 3)), 0.1)
    assert float(term(compared(student, teacher)).detach()) == pytest.approx(expected, rel=1e-9)


@given(seed=SEEDS, scale=st.floats(0.01, 100))
def test_lengths_and_the_order_of_samples_do_not_matter(seed: int, scale: float) -> None:
    student, teacher = noise(seed, 5, 4), noise(seed + 1, 5, 4)
    value = float(contrastive_loss(student, teacher, 0.1))
    assert value >= 0
    order = torch.randperm(5, generator=torch.Generator().manual_seed(seed))
    moved = contrastive_loss(scale * student[order], teacher[order] / scale, 0.1)
    assert float(moved) == pytest.approx(value, rel=1e-9, abs=1e-12)


@given(seed=SEEDS)
def test_a_student_that_agrees_is_worth_less_than_one_that_mixes_samples_up(seed: int) -> None:
    teacher = noise(seed, 6, 8)
    right = float(contrastive_loss(3 * teacher, teacher, 0.1))
    assert right < float(contrastive_loss(teacher.roll(1, 0), teacher, 0.1))


def test_a_student_that_says_the_same_of_all_knows_nothing_and_pays_for_the_number_of_samples() -> None:
    teacher = noise(0, 1, 4).expand(7, -1)
    assert float(contrastive_loss(noise(1, 7, 4), teacher, 0.1)) == pytest.approx(math.log(7))


def test_one_sample_is_told_from_nobody() -> None:
    assert float(contrastive_loss(noise(0, 1, 4), noise(1, 1, 4), 0.1)) == 0


@pytest.mark.parametrize("use", ["contrastive", "crd", "srd", "triplet"])
def test_layers_that_are_neither_maps_nor_vectors_are_refused(use: str) -> None:
    given = compared(noise(0, 4, 3), noise(0, 4, 3, 5))
    with pytest.raises(ConfigError, match=r"a layer of shape \(3, 5\) gives no single vector"):
        built(loss(use), given=given)


@pytest.mark.parametrize("use", ["contrastive", "crd", "srd", "triplet"])
def test_maps_and_vectors_can_be_compared_and_several_teachers_count_the_same(use: str) -> None:
    given = compared(noise(0, 4, 3), noise(1, 4, 6, 2, 2), noise(2, 4, 5))
    together = built(loss(use), given=given)
    assert isinstance(together, nn.Module)
    values = []
    for number, name in enumerate(given.teachers):
        alone = built(loss(use, network=name), given=given)
        assert isinstance(alone, nn.Module)
        its = {
            key.partition(".")[2].partition(".")[2]: value
            for key, value in together.state_dict().items()
            if key.startswith(f"parts.{number}.")
        }
        alone.load_state_dict({f"parts.0.{key}": value for key, value in its.items()})
        values.append(float(alone(given).detach()))
    assert float(together(given).detach()) == pytest.approx(sum(values) / 2, rel=1e-9)


def test_the_other_view_of_a_sample_is_none_that_it_is_told_from() -> None:
    student, teacher = noise(1, 6, 5), noise(2, 6, 5)
    term = built(loss("contrastive"), given=compared(student, teacher))
    assert isinstance(term, nn.Module)
    (linear,) = (each for each in term.modules() if isinstance(each, nn.Linear))
    s, t = (student @ linear.weight.T + linear.bias).detach().numpy(), teacher.numpy()
    expected = 0.0
    for i in range(6):
        scores = {
            j: math.exp(s[i] @ t[j] / np.linalg.norm(s[i]) / np.linalg.norm(t[j]) / 0.1)
            for j in range(6)
            if j == i or j // 2 != i // 2
        }
        expected -= math.log(scores[i] / sum(scores.values())) / 6
    assert float(term(in_two_views(compared(student, teacher))).detach()) == pytest.approx(expected, rel=1e-9)


def test_a_batch_of_one_sample_in_two_views_teaches_nothing() -> None:
    given = in_two_views(compared(noise(1, 2, 5), noise(2, 2, 5)))
    assert float(built(loss("contrastive"), given=given)(given).detach()) == 0
