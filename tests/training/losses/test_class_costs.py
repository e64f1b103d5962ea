from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgekd.training.losses.class_costs import ClassCosts


def logits(seed: int, count: int = 20, classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(3, classes, dtype=torch.float64, generator=generator)
    return torch.randn(count, 3, dtype=torch.float64, generator=generator) @ mixing + 1


def costs(classes: int = 5) -> ClassCosts:
    return ClassCosts(classes).double()


def test_it_is_one_minus_the_correlation_of_logits_without_their_mean_where_that_is_positive() -> None:
    given = logits(0)
    centred = given.numpy() - given.numpy().mean(axis=1, keepdims=True)
    expected = 1 - np.corrcoef(centred.T).clip(0, 1)
    np.testing.assert_allclose(costs()(given).numpy(), expected, atol=1e-12)
    assert 0 < expected[~np.eye(5, dtype=bool)].min() < expected.max() == 1


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 19))
def test_what_was_seen_in_parts_is_what_was_seen_at_once(seed: int, cut: int) -> None:
    given, parts = logits(seed), costs()
    parts(given[:cut])
    torch.testing.assert_close(parts(given[cut:]), costs()(given), rtol=0, atol=1e-9)


def test_the_same_answers_again_change_nothing() -> None:
    given, made = logits(1), costs()
    assert torch.equal(made(given), made(given))


def test_outside_of_training_nothing_is_kept() -> None:
    made = costs().eval()
    made(logits(0))
    assert not float(made.count)
    assert not made.covariance.any()


def test_a_constant_for_all_classes_of_a_sample_changes_nothing() -> None:
    given = logits(2)
    shift = torch.arange(20.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(costs()(given + shift), costs()(given), rtol=0, atol=1e-9)


def test_where_classes_cannot_be_told_apart_yet_all_are_unlike() -> None:
    """One sample, or answers that never change."""
    for seen in (torch.tensor([[500.0, -500.0, 0.0]]), torch.ones(4, 3)):
        assert torch.equal(ClassCosts(3)(seen), 1 - torch.eye(3))
