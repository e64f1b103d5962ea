from __future__ import annotations

import pytest
import torch
from scipy import ndimage
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.training.augment import augment

BLACK = torch.tensor([-0.5])


def dot(height: int = 21, width: int = 21) -> Tensor:
    """A normalised black image with one bright pixel in the middle."""
    image = torch.full((1, 1, height, width), -0.5)
    image[0, 0, height // 2, width // 2] = 1.5
    return image


def centres(images: Tensor) -> Tensor:
    """Where the brightness is: (N, 2), row and column from the middle, in pixels."""
    light = (images - BLACK.reshape(1, 1, 1, 1))[:, 0]
    found = [ndimage.center_of_mass(each.numpy()) for each in light]
    return torch.tensor(found) - torch.tensor([light.shape[1] // 2, light.shape[2] // 2])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def test_without_options_nothing_changes() -> None:
    images = torch.randn(4, 3, 8, 8)
    assert torch.equal(augment(images, AugmentOptions(), torch.zeros(3)), images)


@pytest.mark.parametrize(("height", "width"), [(21, 21), (15, 31)])
def test_a_shift_moves_by_up_to_that_many_pixels_along_each_axis(height: int, width: int) -> None:
    moved = centres(augment(dot(height, width).repeat(400, 1, 1, 1), AugmentOptions(shift=3), BLACK))
    assert moved.abs().max() <= 3.01
    assert (moved.abs().amax(dim=0) > 2.5).all()
    assert moved.mean(dim=0).abs().max() < 0.4
    correlation = torch.corrcoef(moved.T)[0, 1]
    assert abs(correlation) < 0.2  # the axes are drawn apart


def test_what_comes_in_from_outside_is_black() -> None:
    white = torch.full((50, 1, 8, 8), 1.5)
    moved = augment(white, AugmentOptions(shift=4), BLACK)
    assert moved.min() >= -0.5001
    assert (moved < -0.4999).any()


@pytest.mark.parametrize(("height", "width"), [(31, 31), (21, 41)])
def test_a_rotation_turns_about_the_middle_without_stretching(height: int, width: int) -> None:
    image = torch.full((1, 1, height, width), -0.5)
    image[0, 0, height // 2, width // 2 + 8] = 1.5
    turned = centres(augment(image.repeat(300, 1, 1, 1), AugmentOptions(rotate=30), BLACK))
    assert turned.norm(dim=1).numpy() == pytest.approx(8, abs=0.3)
    angles = torch.rad2deg(torch.atan2(turned[:, 0], turned[:, 1]))
    assert angles.abs().max() <= 31
    assert angles.min() < -25
    assert angles.max() > 25


def test_a_change_of_size_stays_within_its_share() -> None:
    image = torch.full((1, 1, 41, 41), -0.5)
    image[0, 0, 20, 30] = 1.5
    sized = centres(augment(image.repeat(300, 1, 1, 1), AugmentOptions(scale=0.2), BLACK))
    assert sized[:, 0].abs().max() < 0.2
    assert 7.7 < sized[:, 1].min() < 8.5
    assert 11.5 < sized[:, 1].max() < 12.3


def test_flip_mirrors_half_of_the_images_left_and_right() -> None:
    images = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(400, 1, 1, 1)
    flipped = augment(images, AugmentOptions(flip=True), BLACK)
    mirrored = (flipped == images.flip(3)).all(dim=3).all(dim=2).squeeze(1)
    same = (flipped == images).all(dim=3).all(dim=2).squeeze(1)
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250


def test_erase_blanks_one_square_in_each_image() -> None:
    erased = augment(torch.ones(200, 3, 12, 12), AugmentOptions(erase=4), torch.tensor([-1.0, -2.0, -3.0]))
    blank = erased != 1
    assert torch.equal(blank[:, 0], blank[:, 2])
    assert erased[:, 1][blank[:, 1]].unique().tolist() == [-2.0]
    areas = blank[:, 0].sum(dim=(1, 2))
    assert areas.max() == 16
    assert areas.min() >= 4  # a quarter of it, in a corner


def test_the_generator_decides_everything() -> None:
    options = AugmentOptions(shift=2, rotate=10, scale=0.1, shear=5, flip=True, erase=3)
    images = torch.randn(16, 1, 12, 12)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(images, options, BLACK))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
