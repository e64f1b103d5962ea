from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekd.config.check import check
from edgekd.config.source import Source
from edgekd.data import decode
from edgekd.data.image_folder import ImageFolder
from edgekd.data.modalities import image
from edgekd.data.modalities.base import contract_for, specs_of
from edgekd.data.samples import LabelledData, Split
from edgekd.errors import ConfigError
from edgekd.progress import Advance, Progress, Silent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(value: int, *, channels: int = 3, size: int = 6) -> NDArray[np.uint8]:
    """Pixels that tell which image this is; coloured when there are three channels."""
    pixels = np.full((size, size, channels), value, dtype=np.uint8)
    pixels[0, 0, 0] = 255 - value
    return pixels


def write(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)
    return path


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Two classes in train/ and test/."""
    root = tmp_path / "pets"
    for value, name in enumerate(
        ["train/dog/a", "train/dog/b", "train/cat/a", "train/cat/b", "test/cat/a", "test/dog/a"]
    ):
        write(root / f"{name}.png", picture(10 * value))
    return root


def unread(root: Path, progress: Progress | None = None, /, **options: object) -> LabelledData:
    dataset = ImageFolder.model_validate({"use": "image_folder", "path": str(root), **options})
    return dataset.load(progress or Silent())


def load(root: Path, **options: object) -> LabelledData:
    """With every image decoded."""
    data = unread(root, **options)
    train, test = (Split(np.asarray(each.samples), each.labels) for each in (data.train, data.test))
    return LabelledData(train, test, data.classes, data.reading)


def test_splits_classes_and_pixels_come_as_they_lie(split: Path) -> None:
    data = load(split)
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    assert np.asarray(data.train.samples)[:, 1, 1, 0].tolist() == [20, 30, 0, 10]
    np.testing.assert_array_equal(np.asarray(data.test.samples)[0], picture(40))


@pytest.mark.parametrize("inside", ["", "pets/", "./", "./a/pets/"])
def test_a_tar_reads_as_the_folder_that_it_holds(split: Path, tmp_path: Path, inside: str) -> None:
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        for path in split.rglob("*.png"):
            archive.add(path, f"{inside}{path.relative_to(split).as_posix()}")
    from_tar, from_folder = load(tmp_path / "pets.tar"), load(split)
    np.testing.assert_array_equal(from_tar.train.samples, from_folder.train.samples)
    np.testing.assert_array_equal(from_tar.test.samples, from_folder.test.samples)
    assert from_tar.classes == from_folder.classes


def test_without_a_test_folder_a_stratified_share_becomes_the_test_split(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / "all" / ("even" if number % 2 == 0 else "odd") / f"{number:02}.png", picture(number))
    data = load(tmp_path / "all", test=0.2)
    assert np.bincount(data.test.labels).tolist() == [2, 2]
    values = [*np.asarray(data.train.samples)[:, 1, 1, 0], *np.asarray(data.test.samples)[:, 1, 1, 0]]
    assert sorted(values) == list(range(20))
    again = load(tmp_path / "all", test=0.2)
    np.testing.assert_array_equal(data.test.samples, again.test.samples)


def test_auto_makes_grey_what_has_no_colour_whatever_the_files_mode(tmp_path: Path) -> None:
    grey = np.full((6, 6, 3), 7, dtype=np.uint8)
    write(tmp_path / "g" / "a" / "1.png", grey)
    write(tmp_path / "g" / "b" / "1.png", picture(9, channels=1))
    write(tmp_path / "g" / "a" / "2.png", grey)
    write(tmp_path / "g" / "b" / "2.png", picture(9, channels=1))
    assert load(tmp_path / "g", test=2).train.samples.shape == (2, 6, 6, 1)
    assert load(tmp_path / "g", test=2, color="rgb").train.samples.shape == (2, 6, 6, 3)
    write(tmp_path / "g" / "a" / "2.png", picture(50))
    assert load(tmp_path / "g", test=2).train.samples.shape == (2, 6, 6, 3)
    assert load(tmp_path / "g", test=2, color="gray").train.samples.shape == (2, 6, 6, 1)


def test_sixteen_bit_greys_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    for label in "ab":
        for name, value in (("1", 0x4000), ("2", 0xFFFF)):
            path = tmp_path / "deep" / label / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), value, dtype=np.uint16)).save(path)
    data = load(tmp_path / "deep", test=2)
    values = {*np.asarray(data.train.samples).ravel().tolist(), *np.asarray(data.test.samples).ravel().tolist()}
    assert values == {0x40, 0xFF}


def test_a_photo_comes_as_it_was_held(split: Path) -> None:
    sideways = Image.fromarray(np.repeat(np.arange(6, dtype=np.uint8)[:, None, None] * 40, 6, axis=1).repeat(3, axis=2))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    sideways.save(split / "train" / "cat" / "a.png", exif=exif)
    pixels = np.asarray(load(split).train.samples)[0]
    assert pixels[0, :, 0].tolist() == [200, 160, 120, 80, 40, 0]


def test_different_sizes_need_the_size_option(split: Path) -> None:
    write(split / "train" / "dog" / "b.png", picture(1, size=9))
    with pytest.raises(ConfigError, match=r"train/dog/b\.png has 9 x 9 pixels, train/cat/a\.png has 6 x 6") as error:
        load(split)
    assert "size: 6" in str(error.value.hint)
    assert load(split, size=8).train.samples.shape == (4, 8, 8, 3)
    assert load(split, size=[8, 5]).test.samples.shape == (2, 8, 5, 3)


@pytest.mark.parametrize("content", [b"", b"no image at all", None], ids=["empty", "text", "cut short"])
def test_a_broken_image_is_named(split: Path, content: bytes | None) -> None:
    path = split / "train" / "dog" / "b.png"
    large = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    write(path, large)
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    with pytest.raises(ConfigError, match=r"train/dog/b\.png (is not an image|cannot be read)"):
        load(split)


def test_one_class_is_refused(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path / "one" / "cat" / f"{name}.png", picture(1))
    with pytest.raises(ConfigError, match="only one class, 'cat'"):
        load(tmp_path / "one")


@pytest.mark.parametrize(("gone", "left"), [("train", "test"), ("test", "train")])
def test_classes_that_differ_between_the_splits_are_refused(split: Path, gone: str, left: str) -> None:
    write(split / "train" / "fish" / "a.png", picture(1))
    write(split / "test" / "fish" / "a.png", picture(1))
    shutil.rmtree(split / gone / "dog")
    with pytest.raises(ConfigError, match=f"the classes differ: dog in {left}/ but not in {gone}/"):
        load(split)


def test_a_third_folder_beside_train_is_refused_and_not_taken_for_a_class(split: Path) -> None:
    (split / "test").rename(split / "val")
    with pytest.raises(ConfigError, match="beside train/ there is val"):
        load(split)


def test_no_images_and_images_outside_class_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no images found"):
        load(tmp_path / "empty")
    write(tmp_path / "flat" / "1.png", picture(1))
    with pytest.raises(ConfigError, match=r"1\.png is in no class folder"):
        load(tmp_path / "flat")


@pytest.mark.parametrize("ending", ["pnm", "PBM", "jfif", "jpe", "TIF"])
def test_every_ending_of_a_kind_of_image_counts(split: Path, ending: str) -> None:
    (split / "train" / "cat" / "a.png").rename(split / "train" / "cat" / f"a.{ending}")
    assert len(load(split).train) == 4  # what is in the file says how it is read


def test_other_files_and_hidden_ones_are_passed_over(split: Path) -> None:
    passed_over = "README.md train/Thumbs.db train/cat/.DS_Store train/cat/._a.png __MACOSX/train/cat/a.png"
    for name in passed_over.split():
        (split / name).parent.mkdir(parents=True, exist_ok=True)
        (split / name).write_bytes(b"x")
    assert len(load(split).train) == 4


def test_what_is_no_tar_or_a_packed_one_is_refused(split: Path, tmp_path: Path) -> None:
    packed = tmp_path / "pets.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(split, "pets")
    with pytest.raises(ConfigError, match="is not a readable tar file") as error:
        load(packed)
    assert "uncompressed" in str(error.value.hint)


def test_a_tar_that_ends_early_is_refused(split: Path, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(split, "pets")
    for kept in (512 * 9, 512 * 9 + 100, 300):
        (tmp_path / "cut.tar").write_bytes(content.getvalue()[:kept])
        with pytest.raises(ConfigError):
            load(tmp_path / "cut.tar")


def test_the_path_is_meant_from_the_file_that_names_it_then_from_the_data_folder(
    split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tmp_path / "pipe.yaml", {"use": "image_folder", "path": "pets"}, {("path",): 7})
    assert len(check(ImageFolder, source).load(Silent()).train) == 4
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    assert len(check(ImageFolder, source, folder=tmp_path / "other").load(Silent()).train) == 4
    monkeypatch.delenv("EDGEKD_DATA")
    with pytest.raises(ConfigError, match="no such folder or .tar file: pets") as error:
        check(ImageFolder, source, folder=tmp_path / "other")
    assert error.value.where == f"{tmp_path}/pipe.yaml:7"


def test_identity_follows_the_images_and_not_the_place(split: Path, tmp_path: Path) -> None:
    def identity(root: Path, **options: object) -> object:
        return ImageFolder.model_validate({"use": "image_folder", "path": str(root), **options}).identity()

    before = identity(split)
    (split / "README.md").write_text("not an image")
    moved = split.rename(tmp_path / "moved")
    assert identity(moved) == before
    assert identity(moved, color="gray") != before
    write(moved / "train" / "cat" / "a.png", picture(99))
    assert identity(moved) != before


def test_images_are_decoded_when_they_are_read_in_the_order_asked_for(split: Path) -> None:
    data = unread(split, color="rgb", size=6)
    (split / "train" / "cat" / "b.png").unlink()
    samples = data.train.samples
    assert samples.shape == (4, 6, 6, 3)
    assert samples[np.array([3, 0, 3])][:, 1, 1, 0].tolist() == [10, 20, 10]
    assert samples[2:][:, 1, 1, 0].tolist() == [0, 10]
    with pytest.raises(ConfigError, match=r"train/cat/b\.png cannot be read"):
        samples[:2]


def tar_of(path: Path, split: Path, *links: tuple[str, str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.add(split, "pets")
        for name, target, kind in links:
            entry = tarfile.TarInfo(f"pets/{name}")
            entry.type, entry.linkname = kind, target
            archive.addfile(entry)
    return path


def test_links_in_a_tar_are_the_files_that_they_lead_to(split: Path, tmp_path: Path) -> None:
    os.link(split / "train" / "cat" / "a.png", split / "train" / "cat" / "hard.png")
    path = tar_of(
        tmp_path / "pets.tar", split,
        ("train/dog/soft.png", "../cat/b.png", tarfile.SYMTYPE), ("train/dog/again.png", "soft.png", tarfile.SYMTYPE),
    )  # fmt: skip
    data = load(path)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert np.asarray(data.train.samples)[:, 1, 1, 0].tolist() == [20, 30, 20, 0, 30, 10, 30]


@pytest.mark.parametrize(
    ("name", "target", "kind"),
    [
        ("train/cat/c.png", "gone.png", tarfile.SYMTYPE),
        ("train/cat/c.png", "/etc/passwd", tarfile.SYMTYPE),
        ("train/cat/c.png", "pets/train/cat/gone.png", tarfile.LNKTYPE),
        ("train/cat/c.png", "c.png", tarfile.SYMTYPE),
        ("train/cat/c.png", "../cat", tarfile.SYMTYPE),
        ("train/cat/c.png", "", tarfile.FIFOTYPE),
        ("train/fox", "cat", tarfile.SYMTYPE),
        ("train/fox", "/somewhere/else", tarfile.SYMTYPE),
    ],
)
def test_a_link_in_a_tar_that_cannot_be_followed_is_refused_and_named(
    split: Path, tmp_path: Path, name: str, target: str, kind: bytes
) -> None:
    with pytest.raises(ConfigError, match=name):
        load(tar_of(tmp_path / "pets.tar", split, (name, target, kind)))


def test_a_name_that_is_not_utf_8_is_refused_and_shown(split: Path) -> None:
    (split / "train" / "cat" / "a.png").rename(os.fsdecode(os.fsencode(split / "train" / "cat") + b"/\xff\x1b.png"))
    with pytest.raises(ConfigError, match=r"train/cat/\\xff\\x1b\.png is not UTF-8"):
        load(split)
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tar_of(split.parent / "pets.tar", split))


@pytest.mark.timeout(20)
def test_a_pipe_among_the_images_and_a_pipe_for_all_are_not_waited_for(split: Path, tmp_path: Path) -> None:
    os.mkfifo(split / "train" / "cat" / "c.png")
    with pytest.raises(ConfigError, match="not a regular file"):
        load(split)
    os.mkfifo(tmp_path / "pets.tar")
    with pytest.raises(ConfigError, match="neither a folder nor a file"):
        load(tmp_path / "pets.tar")
    for root in (split, tmp_path / "pets.tar"):
        with pytest.raises(ConfigError, match="not a regular file"):
            ImageFolder.model_validate({"use": "image_folder", "path": str(root)}).identity()


@pytest.mark.parametrize("path", ["x" * 300, "a\0b", "loop/pets"])
def test_a_path_that_no_file_can_have_is_no_such_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    source = Source(tmp_path / "pipe.yaml", {"use": "image_folder", "path": path}, {("path",): 7})
    with pytest.raises(ConfigError, match="no such folder or .tar file"):
        check(ImageFolder, source)


def test_what_a_picture_cannot_tell_exactly_is_refused_with_its_name(split: Path) -> None:
    Image.new("F", (6, 6), 0.5).save(split / "train" / "dog" / "b.tiff")
    with pytest.raises(ConfigError, match=r"train/dog/b\.tiff cannot be read: its samples are floats"):
        load(split)


def varied(root: Path) -> Path:
    """Pictures that differ in size, orientation, depth, channels, palette and alpha."""
    generator = np.random.default_rng(0)
    exif = Image.Exif()
    for number in range(24):
        height, width = generator.integers(5, 60, 2)
        pixels = generator.integers(0, 256, (height, width, 4), dtype=np.uint8)
        path = root / ("train", "test")[number % 4 == 3] / "ab"[(number // 4 + number) % 2] / f"{number:02}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif[0x0112] = 1 + number % 8
        colour = Image.fromarray(pixels[..., :3])
        match number // 4:
            case 0:
                colour.save(path.with_suffix(".jpg"), exif=exif)
            case 1:
                Image.fromarray(pixels).save(path.with_suffix(".png"), exif=exif)
            case 2:
                Image.fromarray(pixels[..., 0].astype(np.uint16) * 251).save(path.with_suffix(".tiff"))
            case 3:
                colour.quantize(16).save(path.with_suffix(".gif"), transparency=3)
            case 4:
                Image.fromarray(pixels[..., 0].astype(np.uint16) * 251).save(path.with_suffix(".pgm"))
            case _:
                Image.fromarray(pixels).save(path.with_suffix(".webp"), lossless=True, exif=exif)
    return root


@pytest.mark.parametrize("options", [{"size": 16}, {"size": [9, 31]}, {"size": 16, "color": "gray"}])
def test_a_device_reads_every_picture_as_training_did_to_the_bit(tmp_path: Path, options: dict[str, object]) -> None:
    root = varied(tmp_path / "varied")
    data = load(root, **options)
    contract = contract_for("image", data.train.samples, data.classes, data.reading)
    assert contract.inputs[0].preprocessing["resize"] == "bilinear"
    for split in ("train", "test"):
        paths = sorted((root / split).glob("*/*"), key=lambda path: (path.parent.name, path.name))
        assert len(paths) == len(getattr(data, split)) > 5
        for path, trained in zip(paths, np.asarray(getattr(data, split).samples), strict=True):
            np.testing.assert_array_equal(image.read(path, specs_of(contract))[0], trained, path.name)


def test_pictures_that_training_did_not_scale_are_not_scaled_by_a_device(split: Path, tmp_path: Path) -> None:
    data = load(split)
    contract = contract_for("image", data.train.samples, data.classes, data.reading)
    large = write(tmp_path / "large.png", picture(3, size=9))
    with pytest.raises(ValueError, match="the image is 9x9, the model takes 6x6"):
        image.read(large, specs_of(contract))


class Counting(Silent):
    """Keeps what tasks tell: of each its label, its total and its steps."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int, list[int]]] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        steps: list[int] = []
        self.tasks.append((label, total, steps))
        yield lambda amount=1, *, note=None: steps.append(amount)


def test_colour_is_looked_for_until_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "CHUNK", 2)
    for number in range(8):
        write(tmp_path / "g" / "ab"[number % 2] / f"{number}.png", picture(9, channels=1))
    grey = Counting()
    assert unread(tmp_path / "g", grey, test=2).train.samples.shape == (6, 6, 6, 1)
    ((_, total, steps),) = grey.tasks
    assert (total, steps) == (8, [2, 2, 2, 2])
    write(tmp_path / "g" / "a" / "4.png", picture(50))
    coloured = Counting()
    assert unread(tmp_path / "g", coloured, test=2).train.samples.shape == (6, 6, 6, 3)
    assert coloured.tasks[0][2] == [2]


def test_sixty_thousand_real_images_are_read(edgekd_data: Path) -> None:
    data = load(edgekd_data / "cifar10-png.tar")
    assert data.train.samples.shape == (50000, 32, 32, 3)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
    # as published for CIFAR-10
    means = np.asarray(data.train.samples).mean(axis=(0, 1, 2)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)
