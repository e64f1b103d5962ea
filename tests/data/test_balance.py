from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.data.balance import balanced_rows
from edgekd.data.samples import UNLABELLED


def test_every_class_gives_as_many_whatever_its_share_and_wherever_it_stands() -> None:
    labels = np.repeat([0, 1, 2], [900, 60, 40])  # sorted by class
    rows = balanced_rows(labels, 90, seed=0)

    assert Counter(labels[rows].tolist()) == {0: 30, 1: 30, 2: 30}
    assert Counter(labels[balanced_rows(labels, 300, seed=0)].tolist()) == {0: 200, 1: 60, 2: 40}


def test_the_seed_alone_decides() -> None:
    labels = np.arange(1000) % 10

    assert balanced_rows(labels, 50, seed=3).tolist() == balanced_rows(labels, 50, seed=3).tolist()
    assert balanced_rows(labels, 50, seed=3).tolist() != balanced_rows(labels, 50, seed=4).tolist()


def test_rows_without_a_label_come_after_those_with_one() -> None:
    labels = np.full(1000, UNLABELLED)
    labels[::100] = np.arange(10) % 5

    assert set(np.arange(0, 1000, 100)) <= set(balanced_rows(labels, 40, seed=0).tolist())
    assert Counter(labels[balanced_rows(labels, 5, seed=0)].tolist()) == dict.fromkeys(range(5), 1)
    assert len(balanced_rows(np.full(1000, UNLABELLED), 40, seed=0)) == 40


@pytest.mark.parametrize(("number", "given_rows"), [(0, 0), (7, 7), (100, 7)])
def test_there_are_no_more_than_there_are(number: int, given_rows: int) -> None:
    assert len(balanced_rows(np.zeros(7, np.int64), number, seed=0)) == given_rows


@given(st.lists(st.integers(-1, 4), max_size=60), st.integers(0, 70), st.integers(0, 99))
def test_rows_are_distinct_and_ascending_and_no_class_gives_two_more_than_one_that_has_more(
    each: list[int], number: int, seed: int
) -> None:
    labels = np.array(each, dtype=np.int64)
    rows = balanced_rows(labels, number, seed)
    there, taken = Counter(each), Counter(labels[rows].tolist())

    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == min(number, len(labels))
    left = [taken[name] for name in range(5) if taken[name] < there[name]]
    assert max((taken[name] for name in range(5)), default=0) - min(left, default=number) <= 1
    assert not left or taken[UNLABELLED] == 0
