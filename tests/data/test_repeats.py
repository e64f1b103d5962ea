"""Copies of training samples among the test samples are found, and what is only similar is not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekd.data import repeats as module
from edgekd.data.digits import Digits
from edgekd.data.repeats import repeats
from edgekd.progress import Silent

Pictures = NDArray[np.uint8]


def ignore(amount: int = 1, *, note: str | None = None) -> None:
    """An `Advance` of nothing."""


def pictures(count: int, seed: int, side: int = 32) -> Pictures:
    """Smooth ones with edges, in colour."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC)) for each in rough]
    )


def saved_again(picture: Pictures) -> Pictures:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def scaled(picture: Pictures) -> Pictures:
    side = len(picture)
    return np.asarray(Image.fromarray(picture).resize((side // 2, side // 2)).resize((side, side)))


@pytest.mark.parametrize(
    "changed",
    [saved_again, scaled, lambda picture: (picture * 0.6 + 20).astype(np.uint8)],
    ids=["jpeg", "half", "dark"],
)
def test_equal_pictures_and_changed_copies_are_found_wherever_they_are(changed: Callable[[Pictures], Pictures]) -> None:
    train, validation, test = pictures(150, 1), pictures(30, 2), pictures(40, 3)
    test[5], test[11] = train[149], validation[7]
    test[6], test[39] = changed(train[3]), changed(validation[29])
    found = repeats([train, validation], test, ignore)
    assert found.equal.tolist() == [5, 11]
    assert found.alike.tolist() == [6, 39]
    assert found.compared == 40


def test_a_copy_that_is_there_nine_times_is_found_and_nothing_is_found_among_pictures_of_the_same_things() -> None:
    train, test = pictures(150, 1), pictures(40, 3)
    train[:8] = np.stack([np.clip(train[20].astype(int) + shade, 0, 255) for shade in range(1, 9)])
    test[4] = saved_again(train[20])
    assert repeats([train], test, ignore).alike.tolist() == [4]
    digits = Digits(use="digits").load(Silent())
    assert [len(each) for each in repeats([digits.train.samples], digits.test.samples, ignore)[:2]] == [0, 0]


def test_pictures_without_anything_to_see_and_few_of_them_are_no_copies_of_each_other() -> None:
    plain = np.stack([np.full((8, 8, 1), shade, np.uint8) for shade in range(20)])
    found = repeats([plain[:10]], plain[10:], ignore)
    assert not len(found.equal)
    assert not len(found.alike)
    assert not len(repeats([pictures(1, 1)], pictures(1, 2), ignore).alike)


def test_rows_of_numbers_are_compared_as_they_are() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    found = repeats([rows[:40]], rows[35:], ignore)
    assert found.equal.tolist() == [0, 1, 2, 3, 4]
    assert found.compared == 0


def test_texts_are_compared_whatever_their_case_and_white_space() -> None:
    train = np.array(
        [each.encode() for each in ("A good  film .", "Straße", "other", "of a longer kind than the others")]
    )
    test = np.array([each.encode() for each in ("a GOOD film .", "a good film", " STRASSE", "Other", "another")])
    found = repeats([train[:2], train[2:]], test, ignore)
    assert found.equal.tolist() == [0, 2, 3]
    assert found.compared == 0
    assert module.passes(test) == 1


def test_of_very_many_some_are_looked_at_evenly_spaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS", 150 * 4)
    train, test = pictures(150, 1), pictures(40, 3)
    test[0], test[1], test[39] = (scaled(train[row]) for row in (7, 8, 9))
    found = repeats([train], test, ignore)
    assert found.compared == 4
    assert found.alike.tolist() == [0, 39]


def test_progress_is_told_for_every_training_sample() -> None:
    told: list[int] = []
    train = pictures(150, 1)
    repeats([train], pictures(5, 2), lambda amount=1, *, note=None: told.append(amount))
    assert sum(told) == module.passes(train) * 150
