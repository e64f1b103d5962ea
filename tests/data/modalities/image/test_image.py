from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekd.data.decode import scaled
from edgekd.data.modalities import image
from edgekd.data.modalities.base import contract_for, feeds_for
from edgekd.data.modalities.image import inputs
from edgekd.errors import ConfigError
from edgekd.records.contract import InputSpec, ModelContract

RANDOM = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3)).astype(np.uint8)
GREY: list[dict[str, Any]] = [{"name": "image", "shape": [1, 4, 3], "preprocessing": {"mean": [0.5], "std": [0.25]}}]
COLOUR: list[dict[str, Any]] = [
    {"name": "image", "shape": [3, 4, 3], "preprocessing": {"mean": [0.5] * 3, "std": [0.25] * 3}}
]
GREY_PIXELS = np.arange(12, dtype=np.uint8).reshape(4, 3)
COLOUR_PIXELS = np.random.default_rng(1).integers(0, 256, (4, 3, 3)).astype(np.uint8)


def test_mean_and_std_are_those_of_the_pixels_by_channel() -> None:
    contract = contract_for("image", RANDOM, ("a", "b"))
    expected = (RANDOM / 255.0).reshape(-1, 3)
    (spec,) = contract.inputs
    assert spec.preprocessing["mean"] == pytest.approx(expected.mean(axis=0), abs=1e-6)
    assert spec.preprocessing["std"] == pytest.approx(expected.std(axis=0), abs=1e-6)
    assert spec.name == "image"
    assert contract.shape == (3, 6, 5)
    assert contract.classes == ("a", "b")
    assert contract.modality == "image"


def test_fed_training_images_have_zero_mean_and_unit_variance_in_nchw_order() -> None:
    inputs = feeds_for(contract_for("image", RANDOM, ("a", "b")), RANDOM)["image"]
    assert inputs.dtype == np.float32
    assert inputs.shape == (50, 3, 6, 5)
    assert inputs.mean(axis=(0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-4)
    assert inputs.std(axis=(0, 2, 3)) == pytest.approx([1, 1, 1], abs=1e-4)


def test_feeding_is_what_the_contract_says() -> None:
    spec = InputSpec(name="image", shape=(1, 1, 2), preprocessing={"mean": [0.25], "std": [0.5]})
    contract = ModelContract(modality="image", inputs=(spec,), classes=("a", "b"))
    inputs = feeds_for(contract, np.array([[[[0], [255]]]], dtype=np.uint8))
    assert inputs["image"].tolist() == [[[[-0.5, 1.5]]]]


def test_a_channel_without_variance_is_an_error_and_no_division_by_zero() -> None:
    images = RANDOM.copy()
    images[..., 2] = 7
    with pytest.raises(ConfigError, match="channel 2 has the same value") as error:
        contract_for("image", images, ("a", "b"))
    assert "color: gray" in str(error.value.hint)


def test_grey_images_may_come_without_a_channel() -> None:
    assert image.accepted(np.zeros((2, 4, 3), np.uint8)).shape == (2, 4, 3, 1)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 4, 3)), np.zeros((2, 4, 3, 4), np.uint8), np.zeros((0, 4, 3), np.uint8), [1, 2], "text"]
)
def test_what_is_no_array_of_images_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"is not an array of images\nexpected uint8"):
        image.accepted(wrong)


def netpbm(path: Path, pixels: Any) -> Path:
    kind = "P5" if pixels.ndim == 2 else "P6"
    path.write_bytes(f"{kind}\n# made here\n{pixels.shape[1]} {pixels.shape[0]}\n255\n".encode() + pixels.tobytes())
    return path


def npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def png(path: Path, pixels: Any) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_one_image_is_read_the_same_from_every_kind_of_file(tmp_path: Path) -> None:
    for specs, pixels, ending in ((GREY, GREY_PIXELS, "pgm"), (COLOUR, COLOUR_PIXELS, "ppm")):
        expected = pixels.reshape(1, 4, 3, -1)
        for path in (
            netpbm(tmp_path / f"a.{ending}", pixels),
            npy(tmp_path / "a.npy", pixels),
            npy(tmp_path / "b.npy", expected[0]),
            png(tmp_path / "a.png", pixels),
        ):
            np.testing.assert_array_equal(image.read(path, specs), expected)


def test_an_array_file_may_hold_several_images(tmp_path: Path) -> None:
    several = np.stack([GREY_PIXELS, GREY_PIXELS + 1])[..., np.newaxis]
    np.testing.assert_array_equal(image.read(npy(tmp_path / "a.npy", several), GREY), several)


def test_colour_becomes_grey_as_pillow_makes_it_and_grey_is_repeated_for_colour(tmp_path: Path) -> None:
    grey = image.read(netpbm(tmp_path / "a.ppm", COLOUR_PIXELS), GREY)
    np.testing.assert_array_equal(grey[0, :, :, 0], np.asarray(Image.fromarray(COLOUR_PIXELS).convert("L")))
    colour = image.read(netpbm(tmp_path / "a.pgm", GREY_PIXELS), COLOUR)
    np.testing.assert_array_equal(colour[0], np.repeat(GREY_PIXELS[..., None], 3, axis=2))


def test_a_photo_is_read_as_it_was_held_and_sixteen_bits_are_scaled_as_in_training(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    Image.fromarray(np.rot90(GREY_PIXELS).copy()).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(image.read(tmp_path / "turned.png", GREY)[0, :, :, 0], GREY_PIXELS)
    png(tmp_path / "deep.png", GREY_PIXELS.astype(np.uint16) * 0x1000)
    np.testing.assert_array_equal(image.read(tmp_path / "deep.png", GREY)[0, :, :, 0], GREY_PIXELS * 0x10)


def jpeg_cut_short() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(stream, "JPEG")
    return stream.getvalue()[:700]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.png", None, "No such file or directory"),
        ("gone.npy", None, "No such file or directory"),
        ("text.png", b"hello", "not an image of the kinds BMP, GIF"),
        ("cut.jpg", jpeg_cut_short(), "truncated"),
        ("empty.npy", b"", "cannot read"),
        ("text.npy", b"hello", "cannot read"),
        ("ascii.pgm", b"P2\n3 4\n255\n", "not enough image data"),
        ("deep.pgm", b"P5 3 4 65536\n" + bytes(24), "3 x 4 pixels of 65536 levels"),
        ("short.pgm", b"P5 3 4 255\n" + bytes(11), "the file is cut short"),
        ("wide.pgm", b"P5 5 4 255\n" + bytes(20), r"the image is 5x4, the model takes 3x4; resize it"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_with_its_file(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((OSError, ValueError), match=words) as error:
        image.read(path, GREY)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrong", [np.zeros((4, 3)), np.zeros((0, 4, 3, 1), np.uint8), np.zeros((4, 3, 2), np.uint8)])
def test_an_array_that_holds_no_image_is_told(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 pixels .*, found"):
        image.read(npy(tmp_path / "a.npy", wrong), GREY)


def lying(shape: str) -> bytes:
    """An .npy file of twelve bytes whose header says that there are more, or something else."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(12)


@pytest.mark.parametrize(
    "shape", ["(10**12,)", "(1000000000000, 4, 3)", "(-4, -3)", "(5, 4, 3)", "(4,", "[4, 3]", "'a'"]
)
def test_an_array_file_that_lies_about_its_shape_is_refused_and_takes_no_memory(tmp_path: Path, shape: str) -> None:
    (tmp_path / "a.npy").write_bytes(lying(shape))
    with pytest.raises(ValueError, match=r"cannot read .*a\.npy: .") as error:
        image.read(tmp_path / "a.npy", GREY)
    assert "\n" not in str(error.value)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a regular file"):
            image.read(path, GREY)


def test_a_device_scales_images_as_training_does_with_pillow_to_the_bit() -> None:
    generator = np.random.default_rng(0)
    for number in range(400):
        height, width, to_height, to_width = (int(each) for each in np.exp(generator.uniform(0, 5.5, 4)))
        pixels = generator.integers(0, 256, (height, width, 1 + 2 * (number % 2)), dtype=np.uint8)
        if number % 3 == 0:
            pixels = np.where(pixels > 127, 255, 0).astype(np.uint8)  # the steepest edges
        found = inputs.resized(pixels, to_height, to_width)
        np.testing.assert_array_equal(found, scaled(pixels, to_height, to_width), str(pixels.shape))
    for shape in ((1, 20001, 1), (3001, 2, 3)):
        white = np.full(shape, 255, np.uint8)
        np.testing.assert_array_equal(inputs.resized(white, 2, 3), np.full((2, 3, shape[2]), 255))


def test_weights_are_a_triangle_as_wide_as_a_pixel_of_the_larger_scale() -> None:
    """Against loops, with half a grey level of rounding along each axis."""
    pixels = np.random.default_rng(3).integers(0, 256, (13, 20, 1), dtype=np.uint8)
    for height, width in ((5, 7), (30, 7), (13, 41)):
        expected = pixels[..., 0].astype(float)
        for size in (width, height):
            found = expected.shape[1]
            reach = max(found / size, 1)
            made = np.zeros((len(expected), size))
            for place in range(size):
                away = np.abs(np.arange(found) + 0.5 - (place + 0.5) * found / size) / reach
                weights = np.maximum(1 - away, 0)
                made[:, place] = expected @ weights / weights.sum()
            expected = made.T
        assert np.abs(inputs.resized(pixels, height, width)[..., 0] - expected).max() <= 1


def test_many_images_are_scaled_as_each_by_itself() -> None:
    together = inputs.resized(RANDOM, 4, 9)
    assert together.shape == (50, 4, 9, 3)
    for one, many in zip(RANDOM, together, strict=True):
        np.testing.assert_array_equal(inputs.resized(one, 4, 9), many)


def ruled(specs: list[dict[str, Any]], **rules: str) -> list[dict[str, Any]]:
    return [{**spec, "preprocessing": {**spec["preprocessing"], **rules}} for spec in specs]


def test_images_of_another_size_are_scaled_where_the_contract_says_so(tmp_path: Path) -> None:
    large = np.random.default_rng(2).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    several = np.stack([large, large[::-1]])
    for path in (png(tmp_path / "a.png", large), npy(tmp_path / "a.npy", large), netpbm(tmp_path / "a.ppm", large)):
        (found,) = image.read(path, ruled(COLOUR, resize="bilinear"))
        np.testing.assert_array_equal(found, scaled(large, 4, 3))
        for specs in (COLOUR, ruled(COLOUR, resize="none")):
            with pytest.raises(ValueError, match="the image is 17x31, the model takes 3x4"):
                image.read(path, specs)
    found = image.read(npy(tmp_path / "b.npy", several), ruled(COLOUR, resize="bilinear"))
    np.testing.assert_array_equal(found, [scaled(each, 4, 3) for each in several])


def test_colour_becomes_grey_before_it_is_scaled(tmp_path: Path) -> None:
    large = np.random.default_rng(2).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    (found,) = image.read(png(tmp_path / "a.png", large), ruled(GREY, resize="bilinear"))
    np.testing.assert_array_equal(found, scaled(inputs.in_channels(large, 1), 4, 3))


@pytest.mark.parametrize("rules", [{"resize": "lanczos"}, {"alpha": "over black"}, {"orientation": "none"}])
def test_a_rule_that_this_program_does_not_know_is_refused(tmp_path: Path, rules: dict[str, str]) -> None:
    ((rule, way),) = rules.items()
    with pytest.raises(ValueError, match=f"the contract says {rule}: '{way}', which this program does not know"):
        image.read(png(tmp_path / "a.png", COLOUR_PIXELS), ruled(COLOUR, **rules))


def test_every_contract_says_how_picture_files_are_read() -> None:
    (spec,) = contract_for("image", RANDOM, ("a", "b")).inputs
    rules = {key: value for key, value in spec.preprocessing.items() if key not in ("mean", "std")}
    assert rules == {**inputs.RULES, "resize": "none"}
    (spec,) = contract_for("image", RANDOM, ("a", "b"), {"resize": "bilinear"}).inputs
    assert spec.preprocessing["resize"] == "bilinear"


def test_an_archive_with_the_ending_of_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=GREY_PIXELS)
    path = (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="not an .npy file"):
        image.read(path, GREY)


def test_the_card_says_size_and_preprocessing() -> None:
    preprocessing = {**COLOUR[0]["preprocessing"], "resize": "bilinear"}
    rules = (
        "turned by their EXIF orientation, the highest 8 bits of deeper samples, laid over white where transparent, "
        "grey as BT.601 luma, "
    )
    ((_, told),) = image.facts([{**COLOUR[0], "dtype": "float32", "preprocessing": preprocessing}])[2:]
    assert told == f"{rules}scaled to 3 × 4 pixels by a bilinear filter with antialiasing"
    assert image.facts([{**COLOUR[0], "dtype": "float32"}]) == [
        ("input", "`image`: float32 NCHW, 3 × 4 × 3"),
        ("preprocessing", "(pixel / 255 − mean) / std, mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25"),
        ("picture files", f"{rules}refused unless of 3 × 4 pixels"),
    ]
