from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgekd.training.losses.pkt import neighbour_loss

from .conftest import LAYER, VALUES, built, lesson, loss, tensor
from .features import Array, gradient, must_bear_anything, random, rotation


def test_it_has_the_published_value() -> None:
    assert float(neighbour_loss(tensor("es"), tensor("et"))) == pytest.approx(VALUES["pkt"], abs=5e-10)


def test_the_registered_term_is_this_function() -> None:
    given = lesson()
    expected = float(neighbour_loss(given.student.taps[LAYER], given.teachers["teacher"].taps[LAYER]))
    assert float(built(loss("pkt"))(given)) == expected


def by_hand(student: Array, teacher: Array) -> float:
    total, samples = 0.0, len(student)
    for row in range(samples):
        rows = []
        for vectors in (student, teacher):
            own = vectors[row]
            kernel = []
            for other in vectors:
                cosine = float(np.sum(own * other) / np.sqrt(np.sum(own**2) * np.sum(other**2)))
                kernel.append((cosine + 1) / 2)
            rows.append([each / sum(kernel) for each in kernel])
        total += sum(theirs * np.log(theirs / mine) for mine, theirs in zip(*rows, strict=True))
    return total / samples**2


def test_other_data_agree_with_loops_over_the_formula() -> None:
    student, teacher = random(1, 6, 3, 2, 1), random(2, 6, 5)
    expected = by_hand(student.flatten(1).numpy(), teacher.numpy())
    assert float(neighbour_loss(student, teacher)) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.permutations(range(6)))
def test_neither_length_nor_rotation_nor_order_counts(seed: int, scale: float, order: list[int]) -> None:
    student, teacher = random(seed, 6, 4), random(seed + 1, 6, 9)
    value = float(neighbour_loss(student, teacher))
    assert value > 0
    lengths = scale * (1 + random(seed + 2, 6, 1).square())
    turned = lengths * student @ rotation(seed, 4)
    assert float(neighbour_loss(turned, teacher)) == pytest.approx(value, rel=1e-9)
    assert float(neighbour_loss(student[order], teacher[order])) == pytest.approx(value, rel=1e-9)
    assert float(neighbour_loss(turned, student)) == pytest.approx(0, abs=1e-12)


def published(student: Tensor, teacher: Tensor) -> Tensor:
    """As in the authors' code, with 1e-7 within the logarithm and a square root of a sum of squares."""

    def probabilities(vectors: Tensor) -> Tensor:
        unit = vectors / (vectors.square().sum(1, keepdim=True).sqrt() + 1e-7)
        kernel = (unit @ unit.T + 1) / 2
        return kernel / kernel.sum(1, keepdim=True)

    mine, theirs = probabilities(student), probabilities(teacher)
    return (theirs * ((theirs + 1e-7) / (mine + 1e-7)).log()).mean()


def test_a_sample_without_features_passes_no_gradient_and_none_that_is_no_number() -> None:
    student, teacher = random(1, 4, 3), random(2, 4, 3)
    student[1] = 0
    _, slope = gradient(neighbour_loss, student, teacher)
    assert torch.equal(slope[1], torch.zeros_like(slope[1]))
    assert torch.isfinite(slope).all()
    _, wrong = gradient(published, student, teacher)
    assert not torch.isfinite(wrong).all()


def test_opposite_samples_have_a_finite_value_that_is_not_negative() -> None:
    line = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [2.0, 0.0]])
    for student, teacher in ((line, -line), (line, line.flip(0)), (line.flip(0), line)):
        value, slope = gradient(neighbour_loss, student, teacher)
        assert 0 <= value < 10
        assert torch.isfinite(slope).all()


def test_a_cosine_that_rounding_puts_below_minus_one_is_no_negative_probability() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        half = torch.randn(8, 512, generator=generator)
        value, slope = gradient(neighbour_loss, torch.cat([half, -3 * half]), torch.cat([half, half]))
        assert np.isfinite(value)
        assert torch.isfinite(slope).all()


def test_a_batch_of_one_says_nothing() -> None:
    value, slope = gradient(neighbour_loss, random(1, 1, 4), random(2, 1, 4))
    assert value == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_it_bears_anything() -> None:
    must_bear_anything(neighbour_loss, 4, 3, 2, 2)
