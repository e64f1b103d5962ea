from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import ConfigError
from edgekd.training.losses.nst import selectivity_loss

from .conftest import LAYER, VALUES, built, lesson, loss, tensor
from .features import Array, must_bear_anything, random


def test_it_has_the_published_value() -> None:
    assert float(selectivity_loss(tensor("fs"), tensor("ft"))) == pytest.approx(VALUES["nst"], abs=5e-11)


def test_the_registered_term_is_this_function() -> None:
    given = lesson()
    expected = float(selectivity_loss(given.student.taps[LAYER], given.teachers["teacher"].taps[LAYER]))
    assert float(built(loss("nst"))(given)) == expected


def by_hand(student: Array, teacher: Array) -> float:
    """The other form of the paper: the difference of the Gram matrices of positions, which cannot be negative."""
    total = 0.0
    for one, other in zip(student, teacher, strict=True):
        grams = []
        for features in (one, other):
            channels = [channel.ravel() / (channel**2).sum() ** 0.5 for channel in features]
            size = len(channels[0])
            grams.append(
                [
                    sum(channel[left] * channel[right] for channel in channels) / len(channels)
                    for left in range(size)
                    for right in range(size)
                ]
            )
        total += sum((mine - theirs) ** 2 for mine, theirs in zip(*grams, strict=True))
    return total / len(student)


def test_it_is_the_difference_of_gram_matrices_of_positions() -> None:
    student, teacher = random(1, 4, 3, 3, 2), random(2, 4, 5, 3, 2)
    expected = by_hand(student.numpy(), teacher.numpy())
    assert float(selectivity_loss(student, teacher)) == pytest.approx(expected, rel=1e-10)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_neither_order_nor_sign_nor_scale_of_channels_counts(seed: int, scale: float) -> None:
    student, teacher = random(seed, 3, 3, 4, 2), random(seed + 1, 3, 6, 4, 2)
    value = float(selectivity_loss(student, teacher))
    assert value > 0
    scales = scale * random(seed + 2, 3, 3, 1, 1)
    other = student[:, [2, 0, 1]] * scales
    assert float(selectivity_loss(other, teacher)) == pytest.approx(value, rel=1e-9)
    assert float(selectivity_loss(teacher, student)) == pytest.approx(value, rel=1e-9)
    assert float(selectivity_loss(other, student)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("sizes", [((4, 6), (2, 3)), ((2, 3), (4, 6)), ((4, 3), (2, 6))])
def test_the_larger_maps_are_averaged_on_each_axis(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    student, teacher = (random(seed, 3, 4, *size) for seed, size in enumerate(sizes))
    small = [
        each.reshape(3, 4, 2, each.shape[2] // 2, 3, each.shape[3] // 3).mean((3, 5)) for each in (student, teacher)
    ]
    expected = by_hand(small[0].numpy(), small[1].numpy())
    assert float(selectivity_loss(student, teacher)) == pytest.approx(expected, rel=1e-10)


def test_no_pair_of_channels_is_kept_for_each_position() -> None:
    """Published code makes a tensor (N, C, C, H W): 1 GiB here."""
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            if isinstance(found, torch.Tensor):
                largest = max(largest, found.numel())
            return found

    student, teacher = torch.randn(4, 64, 128, 128), torch.randn(4, 64, 128, 128)
    with Watch():
        selectivity_loss(student, teacher)
    assert largest <= student.numel()


def test_it_bears_anything() -> None:
    must_bear_anything(selectivity_loss, 4, 3, 2, 2)


def test_vectors_have_no_channels_of_maps() -> None:
    with pytest.raises(ConfigError, match="it compares maps"):
        built(loss("nst"), given=lesson(features=tensor("fs")[:3].flatten(1)))
