from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgekd.errors import ConfigError
from edgekd.training.losses.wkd_features import wasserstein_feature_loss

from .conftest import built, compared, loss, noise, tensor

SEEDS = st.integers(0, 2**31)


def by_hand(student: torch.Tensor, teacher: torch.Tensor, mean_share: float) -> float:
    s, t = student.numpy(), teacher.numpy()
    total = 0.0
    for sample in range(len(s)):
        for channel in range(s.shape[1]):
            mine, theirs = s[sample, channel], t[sample, channel]
            total += mean_share * (np.mean(mine) - np.mean(theirs)) ** 2
            total += (math.sqrt(np.var(mine) + 1e-5) - math.sqrt(np.var(theirs) + 1e-5)) ** 2
    return total / len(s)


@pytest.mark.parametrize("mean_share", [4.0, 1.0, 0.0])
def test_it_is_the_formula_computed_channel_by_channel(mean_share: float) -> None:
    student, teacher = noise(1, 4, 3, 5, 2), 2 * noise(2, 4, 3, 3, 3) + 1
    expected = by_hand(student, teacher, mean_share)
    assert float(wasserstein_feature_loss(student, teacher, mean_share)) == pytest.approx(expected, rel=1e-12)
    given = tensor("fs"), tensor("ft")
    assert float(wasserstein_feature_loss(*given, mean_share)) == pytest.approx(by_hand(*given, mean_share), rel=1e-12)


def test_the_means_count_four_times() -> None:
    """A published copy of the code reads that factor and never uses it."""
    flat = torch.ones(2, 3, 2, 2, dtype=torch.float64)
    given = compared(flat, flat)
    made = loss("wkd_features")
    assert made.model_dump()["mean_share"] == 4
    assert float(wasserstein_feature_loss(flat, 3 * flat, 4.0)) == pytest.approx(4 * 3 * 2**2)
    assert torch.isfinite(built(made, given=given)(given))


def test_the_term_projects_the_student_by_a_convolution_of_one_position() -> None:
    student, teacher = noise(3, 6, 2, 6, 6), noise(4, 6, 5, 3, 4)
    term = built(loss("wkd_features"), given=compared(student, teacher))
    assert isinstance(term, nn.Module)
    (convolution,) = (each for each in term.modules() if isinstance(each, nn.Conv2d))
    mixed = torch.einsum("nchw,oc->nohw", student, convolution.weight[:, :, 0, 0]).detach()
    mean, variance = mixed.mean((0, 2, 3), keepdim=True), mixed.var((0, 2, 3), keepdim=True, correction=0)
    expected = by_hand((mixed - mean) / (variance + 1e-5).sqrt(), teacher, 4.0)
    assert float(term(compared(student, teacher)).detach()) == pytest.approx(expected, rel=1e-9)


@given(seed=SEEDS)
def test_positions_do_not_matter_and_equal_statistics_are_worth_nothing(seed: int) -> None:
    student, teacher = noise(seed, 3, 2, 4, 4), noise(seed + 1, 3, 2, 4, 4)
    value = float(wasserstein_feature_loss(student, teacher, 4.0))
    assert value >= 0
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    shuffled = student.flatten(2)[:, :, order].reshape(student.shape)
    assert float(wasserstein_feature_loss(shuffled, teacher, 4.0)) == pytest.approx(value, rel=1e-9)
    assert float(wasserstein_feature_loss(shuffled, student, 4.0)) == pytest.approx(0, abs=1e-12)


@given(seed=SEEDS, shift=st.floats(-100, 100))
def test_an_offset_of_a_channel_is_worth_its_square(seed: int, shift: float) -> None:
    maps = noise(seed, 3, 2, 4, 4)
    assert float(wasserstein_feature_loss(maps + shift, maps, 4.0)) == pytest.approx(4 * 2 * shift**2, abs=1e-6)


def test_maps_of_one_position_have_no_deviation() -> None:
    """A variance divided by one less than the number of positions is not a number there."""
    student, teacher = noise(1, 3, 2, 1, 1).requires_grad_(), noise(2, 3, 2, 1, 1)
    value = wasserstein_feature_loss(student, teacher, 1.0)
    assert float(value.detach()) == pytest.approx(float((student.detach() - teacher).pow(2).sum((1, 2, 3)).mean()))
    value.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


@pytest.mark.parametrize("use", ["wkd_features", "review_kd"])
def test_one_sample_of_one_position_is_worth_something_finite(use: str) -> None:
    given = compared(noise(0, 1, 2, 1, 1), noise(1, 1, 3, 1, 1))
    assert torch.isfinite(built(loss(use), given=given)(given))


@pytest.mark.parametrize("use", ["wkd_features", "review_kd"])
def test_vectors_are_refused(use: str) -> None:
    with pytest.raises(ConfigError, match=r"a layer of shape \(3,\) gives none"):
        built(loss(use), given=compared(noise(0, 4, 2, 2, 2), noise(0, 4, 3)))
