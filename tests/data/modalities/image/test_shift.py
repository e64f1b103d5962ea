from __future__ import annotations

import numpy as np
import pytest

from edgekd.config.shifts import ShiftOptions
from edgekd.data.modalities import image, vector
from edgekd.data.modalities.image.shift import shifted

IMAGES = np.random.default_rng(0).integers(0, 256, (200, 9, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(("kind", "amount"), [("rotate", 20), ("noise", 0.1), ("blur", 1.0), ("contrast", 0.5)])
def test_every_change_is_decided_by_the_seed_and_keeps_the_form(kind: str, amount: float) -> None:
    found = shifted(IMAGES, kind, amount, 0)
    assert (found.dtype, found.shape) == (IMAGES.dtype, IMAGES.shape)
    assert (found != IMAGES).any()
    np.testing.assert_array_equal(found, shifted(IMAGES, kind, amount, 0))
    if kind in ("rotate", "noise"):
        assert (found != shifted(IMAGES, kind, amount, 1)).any()


def test_all_kinds_are_options() -> None:
    assert set(ShiftOptions.model_fields) == {"rotate", "noise", "blur", "contrast"}


def test_a_quarter_turn_is_one_to_either_side() -> None:
    found = shifted(IMAGES, "rotate", 90, 0)
    left = [bool((each == np.rot90(before, -1)).all()) for before, each in zip(IMAGES, found, strict=True)]
    right = [bool((each == np.rot90(before)).all()) for before, each in zip(IMAGES, found, strict=True)]
    assert all(one != other for one, other in zip(left, right, strict=True))
    assert 60 < sum(left) < 140


def test_noise_has_the_spread_that_is_asked_for() -> None:
    grey = np.full((500, 8, 8, 1), 128, np.uint8)
    difference = shifted(grey, "noise", 0.1, 0).astype(float) - 128
    assert difference.std() == pytest.approx(25.5, rel=0.02)
    assert difference.mean() == pytest.approx(0, abs=0.5)


def test_a_blurred_point_is_a_gaussian_of_each_image_and_channel_by_itself() -> None:
    images = np.zeros((2, 15, 15, 3), np.uint8)
    images[0, 7, 7, 1] = 255
    found = shifted(images, "blur", 1.0, 0)
    assert not found[1].any()
    assert not found[0, :, :, [0, 2]].any()
    assert found[0, 7, 7, 1] == pytest.approx(255 / (2 * np.pi), abs=1)
    assert found[0, 7, 9, 1] == pytest.approx(255 / (2 * np.pi) * np.exp(-2), abs=1)


def test_contrast_leaves_the_mean_of_an_image() -> None:
    found = shifted(IMAGES, "contrast", 0.5, 0).astype(float)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), IMAGES.mean(axis=(1, 2, 3)), atol=0.5)
    np.testing.assert_allclose(found.std(axis=(1, 2, 3)), IMAGES.std(axis=(1, 2, 3)) / 2, rtol=0.01)


def test_vectors_know_noise_alone() -> None:
    spec = {"name": "features", "preprocessing": {"mean": [0, 0], "std": [1.0, 10.0]}, "shape": [2]}
    rows = np.zeros((4000, 2), np.float32)
    found = vector.shifted(rows, [spec], "noise", 0.5, 0)
    assert found.std(axis=0) == pytest.approx([0.5, 5.0], rel=0.05)
    with pytest.raises(ValueError, match="rotate is for images"):
        vector.shifted(rows, [spec], "rotate", 5, 0)
    assert image.shifted(IMAGES, [], "contrast", 0.5, 0).shape == IMAGES.shape
