from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.split import labelled_in_part, stratified_split
from edgekd.errors import ConfigError

LABELS = np.repeat([0, 1, 2], [600, 300, 100])


def test_every_class_is_held_out_in_its_own_proportion() -> None:
    kept, held = stratified_split(LABELS, 0.1, seed=0)
    assert np.bincount(LABELS[held]).tolist() == [60, 30, 10]
    assert np.bincount(LABELS[kept]).tolist() == [540, 270, 90]


def test_a_number_of_samples_is_held_out_exactly() -> None:
    _, held = stratified_split(LABELS, 7, seed=0)
    assert np.bincount(LABELS[held]).tolist() == [4, 2, 1]


@given(
    st.lists(st.integers(2, 40), min_size=2, max_size=6),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_the_parts_are_disjoint_complete_and_stratified(counts: list[int], share: float, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    wanted = round(share * len(labels))
    if not len(counts) <= wanted <= len(labels) - len(counts):
        with pytest.raises(ConfigError):
            stratified_split(labels, share, seed)
        return
    kept, held = stratified_split(labels, share, seed)
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert len(held) == wanted
    for each, count in enumerate(counts):
        quota = int((labels[held] == each).sum())
        assert 1 <= quota <= count - 1
        # away from the bounds, and unless the bounds moved others, no class is off by a whole sample or more
        assert abs(quota - count * wanted / len(labels)) < 1 + len(counts)


def test_the_seed_alone_decides_which_samples() -> None:
    once, again, other = (stratified_split(LABELS, 0.1, seed)[1].tolist() for seed in (5, 5, 6))
    assert once == again
    assert once != other


def test_a_class_of_one_sample_cannot_be_split() -> None:
    with pytest.raises(ConfigError, match="each of the 2 classes needs at least one on both sides"):
        stratified_split(np.array([0, 0, 0, 1]), 2, seed=0)


@pytest.mark.parametrize(("labelled", "left"), [(0.1, [60, 30, 10]), (20, [12, 6, 2]), (0, [0, 0, 0])])
def test_every_class_keeps_its_share_of_the_labels(labelled: float, left: list[int]) -> None:
    found = labelled_in_part(LABELS, labelled, seed=0)
    known = found >= 0
    assert np.bincount(found[known], minlength=3).tolist() == left
    assert (found[known] == LABELS[known]).all()
    assert (found[~known] == -1).all()
    assert (labelled_in_part(LABELS, labelled, seed=0) == found).all()


def test_labels_that_would_leave_a_class_without_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="cannot set apart 2 of 1000"):
        labelled_in_part(LABELS, 2, seed=0)
