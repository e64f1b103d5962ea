from __future__ import annotations

import numpy as np
import pytest

from edgekd.data.contract import contract_from, normalise
from edgekd.errors import ConfigError
from edgekd.records.contract import ImageInput

RANDOM = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3)).astype(np.uint8)


def test_mean_and_std_are_those_of_the_pixels_by_channel() -> None:
    contract = contract_from(RANDOM, ("a", "b"))
    expected = (RANDOM / 255.0).reshape(-1, 3)
    assert contract.image.mean == pytest.approx(expected.mean(axis=0), abs=1e-6)
    assert contract.image.std == pytest.approx(expected.std(axis=0), abs=1e-6)
    assert contract.image.shape == (3, 6, 5)
    assert contract.classes == ("a", "b")


def test_normalised_training_images_have_zero_mean_and_unit_variance_in_nchw_order() -> None:
    image = contract_from(RANDOM, ("a", "b")).image
    inputs = normalise(RANDOM, image)
    assert inputs.dtype == np.float32
    assert inputs.shape == (50, 3, 6, 5)
    assert inputs.mean(axis=(0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-4)
    assert inputs.std(axis=(0, 2, 3)) == pytest.approx([1, 1, 1], abs=1e-4)


def test_normalising_is_what_the_contract_says() -> None:
    image = ImageInput(channels=1, height=1, width=2, mean=(0.25,), std=(0.5,))
    inputs = normalise(np.array([[[[0], [255]]]], dtype=np.uint8), image)
    assert inputs.tolist() == [[[[-0.5, 1.5]]]]


def test_a_channel_without_variance_is_an_error_and_no_division_by_zero() -> None:
    images = RANDOM.copy()
    images[..., 2] = 7
    with pytest.raises(ConfigError, match="channel 2 has the same value"):
        contract_from(images, ("a", "b"))
