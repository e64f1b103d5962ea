from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import image
from edgekd.data.modalities.image import DRAWN

EVERYTHING = AugmentOptions(shift=2, rotate=10, scale=0.1, shear=5, flip=True, erase=3)


def specs(channels: int = 1) -> list[dict[str, object]]:
    """Black is -0.5, -1.0, ... in the channels."""
    mean, std = [0.5] * channels, [1 / (channel + 1) for channel in range(channels)]
    return [{"name": "image", "shape": [channels, 9, 9], "preprocessing": {"mean": mean, "std": std}}]


def uniform(count: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((count, len(DRAWN)))


def augmented(images: Tensor, options: AugmentOptions, numbers: NDArray[np.float64]) -> Tensor:
    change = image.augmentation(options, specs(images.shape[1]))
    assert change is not None
    return change({"image": images}, numbers)["image"]


def dot(height: int = 21, width: int = 21) -> Tensor:
    """A normalised black image with one bright pixel in the middle."""
    picture = torch.full((1, 1, height, width), -0.5)
    picture[0, 0, height // 2, width // 2] = 1.5
    return picture


def centres(images: Tensor) -> Tensor:
    """Where the brightness is: (N, 2), row and column from the middle, in pixels."""
    light = (images + 0.5)[:, 0]
    found = [ndimage.center_of_mass(each.numpy()) for each in light]
    return torch.tensor(found) - torch.tensor([light.shape[1] // 2, light.shape[2] // 2])


def test_without_options_there_is_nothing_to_do() -> None:
    assert image.augmentation(AugmentOptions(), specs()) is None


def test_an_option_that_images_have_no_use_for_is_named() -> None:
    with pytest.raises(ValueError, match="images have no use for 'noise'\none of erase, flip"):
        image.augmentation(AugmentOptions(noise=0.1, shift=1), specs())


def test_a_view_takes_the_same_count_of_numbers_whatever_is_asked_for() -> None:
    assert image.numbers(specs()) == image.numbers(specs(3)) == 8


@pytest.mark.parametrize(("height", "width"), [(21, 21), (15, 31)])
def test_a_shift_moves_by_up_to_that_many_pixels_along_each_axis(height: int, width: int) -> None:
    moved = centres(augmented(dot(height, width).repeat(400, 1, 1, 1), AugmentOptions(shift=3), uniform(400)))
    assert moved.abs().max() <= 3.01
    assert (moved.abs().amax(dim=0) > 2.5).all()
    assert moved.mean(dim=0).abs().max() < 0.4
    correlation = torch.corrcoef(moved.T)[0, 1]
    assert abs(correlation) < 0.2  # the axes are drawn apart


def test_what_comes_in_from_outside_is_black() -> None:
    white = torch.full((50, 1, 8, 8), 1.5)
    moved = augmented(white, AugmentOptions(shift=4), uniform(50))
    assert moved.min() >= -0.5001
    assert (moved < -0.4999).any()


@pytest.mark.parametrize(("height", "width"), [(31, 31), (21, 41)])
def test_a_rotation_turns_about_the_middle_without_stretching(height: int, width: int) -> None:
    picture = torch.full((1, 1, height, width), -0.5)
    picture[0, 0, height // 2, width // 2 + 8] = 1.5
    turned = centres(augmented(picture.repeat(300, 1, 1, 1), AugmentOptions(rotate=30), uniform(300)))
    assert turned.norm(dim=1).numpy() == pytest.approx(8, abs=0.3)
    angles = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    assert angles.abs().max() <= 31
    assert angles.min() < -25
    assert angles.max() > 25


def test_a_change_of_size_stays_within_its_share() -> None:
    picture = torch.full((1, 1, 41, 41), -0.5)
    picture[0, 0, 20, 30] = 1.5
    sized = centres(augmented(picture.repeat(300, 1, 1, 1), AugmentOptions(scale=0.2), uniform(300)))
    assert sized[:, 0].abs().max() < 0.2
    assert 7.7 < sized[:, 1].min() < 8.5
    assert 11.5 < sized[:, 1].max() < 12.3


def test_a_shear_moves_rows_along_x_by_their_distance_from_the_middle() -> None:
    picture = torch.full((1, 1, 41, 41), -0.5)
    picture[0, 0, 30, 20] = 1.5  # ten rows below the middle
    sheared = centres(augmented(picture.repeat(300, 1, 1, 1), AugmentOptions(shear=30), uniform(300)))
    assert sheared[:, 0].numpy() == pytest.approx(10, abs=0.2)
    assert sheared[:, 1].abs().max() < 10 * np.tan(np.radians(30)) + 0.3
    assert sheared[:, 1].abs().max() > 5


def test_flip_mirrors_half_of_the_images_left_and_right() -> None:
    images = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(400, 1, 1, 1)
    flipped = augmented(images, AugmentOptions(flip=True), uniform(400))
    mirrored = (flipped == images.flip(3)).all(dim=3).all(dim=2).squeeze(1)
    same = (flipped == images).all(dim=3).all(dim=2).squeeze(1)
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250


def test_erase_blanks_one_square_in_each_image() -> None:
    erased = augmented(torch.ones(200, 3, 12, 12), AugmentOptions(erase=4), uniform(200))
    blank = erased != 1
    assert torch.equal(blank[:, 0], blank[:, 2])
    for channel, black in enumerate((-0.5, -1.0, -1.5)):
        assert set(erased[:, channel][blank[:, channel]].tolist()) == {black}
    areas = blank[:, 0].sum(dim=(1, 2))
    assert areas.max() == 16
    assert areas.min() >= 4  # a quarter of it, in a corner


@pytest.mark.parametrize(
    ("option", "columns"),
    [
        ({"shift": 2}, {"shift_x", "shift_y"}),
        ({"rotate": 20}, {"angle"}),
        ({"scale": 0.3}, {"scale"}),
        ({"shear": 20}, {"shear"}),
        ({"flip": True}, {"flip"}),
        ({"erase": 3}, {"erase_x", "erase_y"}),
    ],
)
def test_each_change_reads_columns_of_its_own(option: dict[str, float], columns: set[str]) -> None:
    options = AugmentOptions.model_validate(option)
    images = torch.randn(64, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    numbers, other = uniform(64), uniform(64, seed=1)
    for column, name in enumerate(DRAWN):
        changed = numbers.copy()
        changed[:, column] = other[:, column]
        same = torch.equal(augmented(images, options, changed), augmented(images, options, numbers))
        assert same == (name not in columns), name


@given(st.integers(0, 2**32 - 1), st.integers(1, 49), st.sampled_from([(1, 12, 12), (3, 9, 14)]))
def test_an_image_looks_the_same_to_the_bit_in_whatever_batch_and_place(
    seed: int, batch: int, shape: tuple[int, int, int]
) -> None:
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.normal(size=(48, *shape)).astype(np.float32))
    numbers = generator.random((48, len(DRAWN)))
    whole = augmented(images, EVERYTHING, numbers)
    order = generator.permutation(48)
    parts = [
        augmented(images[order[at : at + batch]], EVERYTHING, numbers[order[at : at + batch]])
        for at in range(0, 48, batch)
    ]
    assert torch.equal(torch.cat(parts), whole[order])
    assert not torch.equal(whole, images)


def test_the_inputs_themselves_stay() -> None:
    images = torch.randn(16, 1, 12, 12)
    before = images.clone()
    augmented(images, EVERYTHING, uniform(16))
    assert torch.equal(images, before)
