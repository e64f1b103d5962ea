from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import ConfigError
from edgekd.training.losses.at import attention_loss

from .conftest import LAYER, VALUES, built, lesson, loss, tensor
from .features import Array, must_bear_anything, random


def test_it_has_the_published_value() -> None:
    assert float(attention_loss(tensor("fs"), tensor("ft"))) == pytest.approx(VALUES["at"], abs=5e-11)


def test_the_registered_term_is_this_function() -> None:
    given = lesson()
    expected = float(attention_loss(given.student.taps[LAYER], given.teachers["teacher"].taps[LAYER]))
    assert float(built(loss("at"))(given)) == expected


def by_hand(student: Array, teacher: Array) -> float:
    total = 0.0
    samples, (height, width) = len(student), student.shape[2:]
    for one, other in zip(student, teacher, strict=True):
        maps = []
        for features in (one, other):
            attention = [
                sum(channel[row, column] ** 2 for channel in features)
                for row in range(height)
                for column in range(width)
            ]
            length = math.sqrt(sum(each**2 for each in attention))
            maps.append([each / length for each in attention])
        total += sum((mine - theirs) ** 2 for mine, theirs in zip(*maps, strict=True))
    return float(total / (samples * height * width))


def test_other_data_of_other_widths_agree_with_loops_over_the_formula() -> None:
    student, teacher = random(1, 5, 3, 4, 2), random(2, 5, 7, 4, 2)
    assert float(attention_loss(student, teacher)) == pytest.approx(
        by_hand(student.numpy(), teacher.numpy()), rel=1e-12
    )


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_only_where_the_energy_lies_counts(seed: int, scale: float) -> None:
    student, teacher = random(seed, 4, 3, 5, 2), random(seed + 1, 4, 6, 5, 2)
    value = float(attention_loss(student, teacher))
    assert 0 < value <= 2 / 10
    flipped = student[:, [2, 0, 1]] * -scale
    assert float(attention_loss(flipped, teacher)) == pytest.approx(value, rel=1e-9)
    assert float(attention_loss(teacher, student)) == pytest.approx(value, rel=1e-9)
    assert float(attention_loss(flipped, student)) == pytest.approx(0, abs=1e-24)


def test_the_larger_map_is_averaged_after_it_is_squared() -> None:
    """Published comparisons average the features first: of +1 and -1 side by side nothing would be left."""
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(2, 2)
    energy = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64).repeat_interleave(2, 0).repeat_interleave(2, 1)
    large, small = (signs * energy).reshape(1, 1, 4, 4), energy[::2, ::2].reshape(1, 1, 2, 2)
    assert float(attention_loss(large, small)) == pytest.approx(0, abs=1e-24)
    assert float(attention_loss(small, large)) == pytest.approx(0, abs=1e-24)


def test_maps_need_not_be_square() -> None:
    """Published code averages to (height, height)."""
    student, teacher = random(1, 2, 3, 4, 6), random(2, 2, 3, 2, 3)
    attention = student.numpy() ** 2
    averaged = np.sqrt(attention.mean(1, keepdims=True).reshape(2, 1, 2, 2, 3, 2).mean((3, 5)))
    assert float(attention_loss(student, teacher)) == pytest.approx(by_hand(averaged, teacher.numpy()), rel=1e-12)


def test_it_bears_anything() -> None:
    must_bear_anything(attention_loss, 4, 3, 2, 2)


def test_vectors_have_no_attention() -> None:
    with pytest.raises(ConfigError, match="it compares maps"):
        built(loss("at"), given=lesson(features=tensor("fs")[:3].flatten(1)))
