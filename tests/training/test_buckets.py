from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekd.training.buckets import WINDOW, by_length


@given(batches=st.integers(1, 80), batch_size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_row_comes_once_and_the_same_seed_gives_the_same_order(batches: int, batch_size: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    order, lengths = drawn.permutation(batches * batch_size), drawn.integers(1, 50, batches * batch_size)
    one, other = (by_length(order, lengths, batch_size, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.sort(one), np.sort(order))


def test_samples_of_a_batch_are_about_as_long_and_long_ones_come_at_any_time() -> None:
    drawn = np.random.default_rng(0)
    lengths = np.rint(drawn.gamma(3, 8, 32 * 300)).astype(np.int64)
    order = by_length(drawn.permutation(len(lengths)), lengths, 32, drawn)
    longest = lengths[order].reshape(-1, 32).max(axis=1)
    plain = lengths[drawn.permutation(len(lengths))].reshape(-1, 32).max(axis=1)
    assert longest.mean() < 1.15 * lengths.mean()
    assert plain.mean() > 1.8 * lengths.mean()
    assert abs(np.corrcoef(longest, np.arange(300))[0, 1]) < 0.2


def test_who_meets_whom_is_left_to_chance_within_what_is_as_long() -> None:
    lengths = np.repeat(np.arange(1, 9), 8 * WINDOW)
    drawn = np.random.default_rng(0)
    batches = [by_length(drawn.permutation(len(lengths)), lengths, 8, drawn).reshape(-1, 8) for _ in range(2)]
    together = [{frozenset(map(int, each)) for each in epoch} for epoch in batches]
    assert len(together[0] & together[1]) < 3
