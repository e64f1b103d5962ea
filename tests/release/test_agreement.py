from __future__ import annotations

import numpy as np

from edgekd.release.agreement import SHOWN, agreement


def test_flips_are_counted_and_the_widest_margin_comes_first() -> None:
    expected = np.array([[3, 1, 0], [0, 2, 1.5], [1, 0, 5], [2, 0, 1]], np.float32)
    found = np.array([[3, 1, 0], [0, 1.75, 2], [6, 0, 5], [2, 0, 1.25]], np.float32)
    told = agreement("x86", expected, found)
    assert (told.reference, told.samples, told.flipped, told.largest_difference) == ("x86", 4, 2, 5.0)
    assert [(each.sample, each.expected, each.found, each.margin, each.found_margin) for each in told.flips] == [
        (2, 2, 0, 4, 1),
        (1, 1, 2, 0.5, 0.25),
    ]


def test_the_same_answers_agree() -> None:
    logits = np.eye(3, dtype=np.float32)
    told = agreement("x86", logits, logits.copy())
    assert (told.flipped, told.flips, told.largest_difference) == (0, (), 0.0)


def test_of_many_flips_all_are_counted_and_some_are_shown() -> None:
    expected = np.tile(np.array([[1, 0]], np.float32), (100, 1))
    told = agreement("x86", expected, 1 - expected)
    assert told.flipped == 100
    assert len(told.flips) == SHOWN
