from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.training.losses.sp import similarity_loss

from .conftest import LAYER, VALUES, built, lesson, loss, tensor
from .features import Array, gradient, must_bear_anything, random, rotation


def test_it_has_the_published_value() -> None:
    assert float(similarity_loss(tensor("fs"), tensor("ft"))) == pytest.approx(VALUES["sp"], abs=5e-11)


def test_the_registered_term_is_this_function() -> None:
    given = lesson()
    expected = float(similarity_loss(given.student.taps[LAYER], given.teachers["teacher"].taps[LAYER]))
    assert float(built(loss("sp"))(given)) == expected


def by_hand(student: Array, teacher: Array) -> float:
    total, samples = 0.0, len(student)
    for row in range(samples):
        rows = []
        for features in (student, teacher):
            similar = [float(np.sum(features[row] * other)) for other in features]
            length = sum(each**2 for each in similar) ** 0.5
            rows.append([each / length for each in similar])
        total += sum((mine - theirs) ** 2 for mine, theirs in zip(*rows, strict=True))
    return total / samples**2


def test_layers_of_different_kinds_agree_with_loops_over_the_formula() -> None:
    student, teacher = random(1, 5, 3, 4, 2), random(2, 5, 7)
    assert float(similarity_loss(student, teacher)) == pytest.approx(
        by_hand(student.numpy(), teacher.numpy()), rel=1e-12
    )


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.permutations(range(6)))
def test_neither_scale_nor_rotation_nor_order_counts(seed: int, scale: float, order: list[int]) -> None:
    student, teacher = random(seed, 6, 4), random(seed + 1, 6, 9)
    value = float(similarity_loss(student, teacher))
    assert value > 0
    turned = scale * student @ rotation(seed, 4)
    assert float(similarity_loss(turned, teacher)) == pytest.approx(value, rel=1e-9)
    assert float(similarity_loss(student[order], teacher[order])) == pytest.approx(value, rel=1e-9)
    assert float(similarity_loss(turned, student)) == pytest.approx(0, abs=1e-24)


def test_a_batch_of_one_says_nothing() -> None:
    value, slope = gradient(similarity_loss, random(1, 1, 4), random(2, 1, 4))
    assert value == pytest.approx(0, abs=1e-24)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_it_bears_anything() -> None:
    """A sample without features has no direction: with max(length, 1e-12) its gradient would be 1e12."""
    must_bear_anything(similarity_loss, 4, 3, 2, 2)
