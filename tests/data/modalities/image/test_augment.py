from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy import ndimage, stats
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities import image
from edgekd.data.modalities.image import DRAWN

EVERYTHING = AugmentOptions(
    shift=2, rotate=10, scale=0.1, shear=5, resize=(0.3, 1), crop=3, flip=True, noise=0.1, erase=3
)
CROPPED = AugmentOptions(crop=2, flip=True, noise=0.2)
RESIZED = AugmentOptions(resize=(0.3, 1))


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


def test_a_view_takes_the_same_count_of_numbers_whatever_is_asked_for() -> None:
    assert image.numbers(specs()) == image.numbers(specs(3)) == 15


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


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 7, 12), (3, 20, 5)])
def test_a_crop_is_a_shift_by_whole_pixels_with_mirrored_edges(channels: int, height: int, width: int) -> None:
    images = torch.randn(300, channels, height, width, generator=torch.Generator().manual_seed(0))
    numbers = uniform(300)
    cropped = augmented(images, AugmentOptions(crop=4), numbers)
    places = np.floor(numbers[:, [DRAWN.index("crop_y"), DRAWN.index("crop_x")]] * 9).astype(int)
    assert len(np.unique(places, axis=0)) > 60  # of 81
    for each, found, (row, column) in zip(images.numpy(), cropped.numpy(), places, strict=True):
        mirrored = np.pad(each, ((0, 0), (4, 4), (4, 4)), mode="reflect")
        np.testing.assert_array_equal(found, mirrored[:, row : row + height, column : column + width])


@pytest.mark.parametrize("crop", [9, 40])
def test_a_crop_that_cannot_be_mirrored_is_refused_with_the_largest_that_can(crop: int) -> None:
    assert image.augmentation(AugmentOptions(crop=8), specs()) is not None
    with pytest.raises(ValueError, match=f"an image of 9x9 cannot be mirrored {crop} pixels .*\nat most 8"):
        image.augmentation(AugmentOptions(crop=crop), specs())


def parts(resize: tuple[float, float], height: int, width: int) -> NDArray[np.float64]:
    """Which part of an image each of 500 views shows: (500, 4), top, left, height and width, in pixels.

    Read from images whose brightness is the row or the column.
    """
    options, numbers = AugmentOptions(resize=resize), uniform(500)
    found = []
    for axis, length in ((2, height), (3, width)):
        ramp = torch.arange(float(length)).reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
        shown = augmented(ramp.expand(500, 1, height, width), options, numbers).double().mean(dim=(1, 5 - axis))
        middle = length // 2
        step = (shown[:, middle + 1] - shown[:, middle - 1]) / 2
        found.append((shown[:, middle] - (middle + 0.5) * step + 0.5, step * length))
    (top, tall), (left, wide) = found
    return torch.stack([top, left, tall, wide], dim=1).numpy()


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 50), (64, 20)])
def test_a_resized_crop_has_the_area_and_the_aspect_ratio_and_lies_inside(height: int, width: int) -> None:
    top, left, tall, wide = parts((0.1, 0.4), height, width).T
    area = tall * wide / (height * width)
    assert 0.099 < area.min() < 0.11
    assert 0.39 < area.max() < 0.401
    aspect = wide / tall
    assert 3 / 4 * 0.99 < aspect.min() < 3 / 4 * 1.05
    assert 4 / 3 * 0.95 < aspect.max() < 4 / 3 * 1.01
    for first, length, whole in ((top, tall, height), (left, wide, width)):
        assert first.min() >= -0.01
        assert (first + length).max() <= whole + 0.01
        room = whole - length
        place = first[room > 1] / room[room > 1]
        assert place.min() < 0.05
        assert place.max() > 0.95


def test_the_whole_area_is_the_image_as_it_is() -> None:
    images = torch.randn(20, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    same = augmented(images, AugmentOptions(resize=(1, 1)), uniform(20))
    assert torch.allclose(same, images, atol=1e-5)


def test_a_resized_crop_is_the_bilinear_one_that_scipy_makes() -> None:
    images = torch.randn(50, 2, 9, 14, generator=torch.Generator().manual_seed(0))
    numbers = uniform(50)
    drawn = {name: numbers[:, column] for column, name in enumerate(DRAWN)}
    sampled = augmented(images, AugmentOptions(resize=(0.3, 0.8)), numbers)
    for row, picture in enumerate(images.double().numpy()):
        area = (0.3 + 0.5 * drawn["resize_area"][row]) * 9 * 14
        aspect = (4 / 3) ** (2 * drawn["resize_aspect"][row] - 1)
        wide = min(max(np.sqrt(area * aspect), area / 9), 14)
        tall = area / wide
        rows = drawn["resize_y"][row] * (9 - tall) + (np.arange(9) + 0.5) * tall / 9 - 0.5
        columns = drawn["resize_x"][row] * (14 - wide) + (np.arange(14) + 0.5) * wide / 14 - 0.5
        at = np.meshgrid(rows, columns, indexing="ij")
        for channel in range(2):
            expected = ndimage.map_coordinates(picture[channel], at, order=1, mode="nearest")
            np.testing.assert_allclose(sampled[row, channel].numpy(), expected, atol=1e-5)


def test_shares_of_the_area_come_in_their_order() -> None:
    assert AugmentOptions.model_validate({"resize": [0.35, 1]}).resize == (0.35, 1)
    with pytest.raises(ValidationError, match="resize takes the smallest share first"):
        AugmentOptions(resize=(1, 0.35))


def test_flip_mirrors_half_of_the_images_left_and_right() -> None:
    images = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(400, 1, 1, 1)
    flipped = augmented(images, AugmentOptions(flip=True), uniform(400))
    mirrored = (flipped == images.flip(3)).all(dim=3).all(dim=2).squeeze(1)
    same = (flipped == images).all(dim=3).all(dim=2).squeeze(1)
    assert (mirrored ^ same).all()
    assert 150 < mirrored.sum() < 250


def test_an_alternating_flip_mirrors_each_image_in_every_other_view() -> None:
    options = AugmentOptions(flip="alternating")
    (column,) = image.alternating(options)
    assert DRAWN[column] == "flip"
    assert list(image.alternating(EVERYTHING)) == []
    images, numbers = torch.randn(60, 1, 4, 5), uniform(60)
    moved = numbers.copy()
    moved[:, column] = (moved[:, column] + 0.5) % 1
    one, other = augmented(images, options, numbers), augmented(images, options, moved)
    assert torch.equal(one, other.flip(3))
    assert 15 < (one == images).all(dim=3).all(dim=2).sum() < 45


def test_noise_is_normal_with_the_given_standard_deviation_and_another_in_each_image() -> None:
    before = torch.ones(4000, 3, 6, 5)
    after = augmented(before, AugmentOptions(noise=0.25), uniform(4000))
    assert after.dtype == torch.float32
    noise = (after - before).double().reshape(4000, -1).numpy()
    assert noise.mean(axis=0) == pytest.approx(np.zeros(90), abs=0.02)
    assert noise.std(axis=0) == pytest.approx(np.full(90, 0.25), abs=0.02)
    assert stats.kstest(noise[::7].ravel() / 0.25, "norm").pvalue > 0.001
    assert np.abs(np.corrcoef(noise.T) - np.eye(90)).max() < 0.1  # of pixels
    assert np.abs(np.corrcoef(noise[:40]) - np.eye(40)).max() < 0.6  # of images


def test_noise_is_pinned_so_that_recorded_answers_stay_valid() -> None:
    numbers = np.full((1, len(DRAWN)), 0.625)
    noise = augmented(torch.zeros(1, 1, 1, 3), AugmentOptions(noise=1), numbers)
    assert noise.flatten().tolist() == pytest.approx([0.28663456, -0.78093159, 2.16659689], rel=1e-6)


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
        ({"flip": "alternating"}, {"flip"}),
        ({"erase": 3}, {"erase_x", "erase_y"}),
        ({"crop": 3}, {"crop_x", "crop_y"}),
        ({"noise": 0.1}, {"noise"}),
        ({"resize": (0.2, 0.5)}, {"resize_area", "resize_aspect", "resize_x", "resize_y"}),
    ],
)
def test_each_change_reads_columns_of_its_own(option: dict[str, object], columns: set[str]) -> None:
    options = AugmentOptions.model_validate(option)
    images = torch.randn(64, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    numbers, other = uniform(64), uniform(64, seed=1)
    for column, name in enumerate(DRAWN):
        changed = numbers.copy()
        changed[:, column] = other[:, column]
        same = torch.equal(augmented(images, options, changed), augmented(images, options, numbers))
        assert same == (name not in columns), name


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 49),
    st.sampled_from([(1, 12, 12), (3, 9, 14)]),
    st.sampled_from([EVERYTHING, CROPPED, RESIZED]),
)
def test_an_image_looks_the_same_to_the_bit_in_whatever_batch_and_place(
    seed: int, batch: int, shape: tuple[int, int, int], options: AugmentOptions
) -> None:
    generator = np.random.default_rng(seed)
    images = torch.from_numpy(generator.normal(size=(48, *shape)).astype(np.float32))
    numbers = generator.random((48, len(DRAWN)))
    whole = augmented(images, options, numbers)
    order = generator.permutation(48)
    parts = [
        augmented(images[order[at : at + batch]], options, numbers[order[at : at + batch]])
        for at in range(0, 48, batch)
    ]
    assert torch.equal(torch.cat(parts), whole[order])
    assert not torch.equal(whole, images)


@pytest.mark.parametrize("options", [EVERYTHING, CROPPED, RESIZED])
def test_the_inputs_themselves_stay(options: AugmentOptions) -> None:
    images = torch.randn(16, 1, 12, 12)
    before = images.clone()
    augmented(images, options, uniform(16))
    assert torch.equal(images, before)
