"""That what is larger than memory goes through the stages that read it."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekd.data.custom import UserDataset
from edgekd.data.digits import Digits
from edgekd.data.image_folder import ImageFolder
from edgekd.data.split import stratified_split
from edgekd.errors import ConfigError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context
from edgekd.pipeline.store import Store
from edgekd.progress import Advance, Progress, Silent
from edgekd.records.arrays import load_arrays, save_arrays
from edgekd.stages import files
from edgekd.stages.data import DataStage
from edgekd.stages.files import load_split

IMAGES, SIDE = 600, 224
DECODED_BYTES = IMAGES * SIDE * SIDE * 3
ALLOWED_BYTES = DECODED_BYTES // 2


def folder_of_images(root: Path) -> Path:
    """Few different images under many names."""
    for number in range(IMAGES):
        path = root / f"class-{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < 10:
            rough = np.random.default_rng(number).integers(0, 256, (7, 7, 3), dtype=np.uint8)
            Image.fromarray(rough).resize((SIDE, SIDE)).save(path)
        else:
            path.hardlink_to(root / f"class-{number % 2}" / f"{number % 10}.jpg")
    return root


def context(work: Path, progress: Progress | None = None) -> Context:
    work.mkdir()
    return Context(work, work / "cache", DataStage.outputs, 0, progress or Silent())


LARGE = """
import sys
from pathlib import Path
import numpy as np
import PIL.Image, PIL.JpegImagePlugin
from edgekd.data.image_folder import ImageFolder
from edgekd.data.modalities.base import feeds_for
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.contract import ModelContract
from edgekd.stages import files
from edgekd.stages.data import DataStage

files.IN_MEMORY_BYTES = files.WRITTEN_BYTES = 2**20  # as if memory were small

def peak_bytes():
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    return 1024 * int(line.split()[1])

images, work = Path(sys.argv[1]), Path(sys.argv[2])
before = peak_bytes()
context = Context(work, work / "cache", DataStage.outputs, 0, Silent())
DataStage(ImageFolder(use="image_folder", path=images)).run(context, {})
contract = files.load_record(ModelContract, context.output("contract"))
train = files.load_split(context.output("train"))
order = np.random.default_rng(0).permutation(len(train))
for start in range(0, len(train), 8):
    feeds_for(contract, train.samples[order[start : start + 8]])
print(peak_bytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux")
def test_images_that_are_more_than_memory_are_decoded_split_described_and_read(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(folder_of_images(tmp_path / "images")), str(tmp_path / "work")],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < ALLOWED_BYTES


def test_splits_are_those_rows_of_the_data_set_whatever_it_is_written_by(tmp_path: Path) -> None:
    here = context(tmp_path / "work")
    dataset = Digits(use="digits")
    told = DataStage(dataset).run(here, {})
    assert told == "1,213 training, 135 validation and 449 test images, 10 classes"
    data = dataset.load(Silent())
    kept, held_out = stratified_split(data.train.labels, 0.1, seed=0)
    for port, split in (
        ("train", data.train.take(kept)),
        ("validation", data.train.take(held_out)),
        ("test", data.test),
    ):
        save_arrays(tmp_path / "expected.npz", {"samples": np.asarray(split.samples), "labels": split.labels})
        assert here.output(port).read_bytes() == (tmp_path / "expected.npz").read_bytes(), port


def test_only_a_share_of_the_training_samples_keeps_its_label(tmp_path: Path) -> None:
    every, some = context(tmp_path / "every"), context(tmp_path / "some")
    DataStage(Digits(use="digits")).run(every, {})
    told = DataStage(Digits(use="digits", labelled=0.1)).run(some, {})
    assert told == "1,213 training (121 labelled), 135 validation and 449 test images, 10 classes"
    left, all_of_them = (load_split(each.output("train")) for each in (some, every))
    np.testing.assert_array_equal(np.asarray(left.samples), np.asarray(all_of_them.samples))
    known = left.labels >= 0
    assert known.sum() == 121
    assert (left.labels[known] == all_of_them.labels[known]).all()
    for port in ("validation", "test"):
        assert some.output(port).read_bytes() == every.output(port).read_bytes()


@pytest.mark.parametrize("option", ["validation", "labelled"])
def test_too_few_samples_for_every_class_are_refused_with_the_option(tmp_path: Path, option: str) -> None:
    with pytest.raises(ConfigError, match="each of the 10 classes needs") as refused:
        DataStage(Digits.model_validate({"use": "digits", option: 3})).run(context(tmp_path / "work"), {})
    assert refused.value.where == f"data.{option}"


def test_what_is_decoded_is_written_split_by_split_and_progress_tells_it(tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        pixels[0, 0, 0] = number
        Image.fromarray(pixels).save(path)
    tasks: dict[str, list[int]] = {}

    class Counting(Silent):
        @contextmanager
        def task(self, label: str, total: int) -> Iterator[Advance]:
            steps = tasks.setdefault(f"{label} {total}", [])
            yield lambda amount=1, *, note=None: steps.append(amount)

    here = context(tmp_path / "work", Counting())
    DataStage(ImageFolder(use="image_folder", path=tmp_path / "images")).run(here, {})
    assert sum(tasks["images 40"]) == 40
    found = [load_arrays(here.output(port)) for port in ("train", "validation", "test")]
    assert sorted(np.concatenate([each["samples"][:, 0, 0, 0] for each in found]).tolist()) == list(range(40))
    for each in found:
        assert (each["samples"][:, 0, 0, 0] % 2).tolist() == each["labels"].tolist()


MAPPED = """
import numpy as np

def make(path, count):
    images = np.memmap(path, np.uint8, "r", shape=(count, 3, 64, 64)).transpose(0, 2, 3, 1)
    labels = np.arange(count) % 2
    return dict(
        train_images=images, train_labels=labels, test_images=images[:9], test_labels=labels[:9], classes=["a", "b"]
    )
"""


def test_mapped_arrays_of_the_users_own_data_set_are_never_in_memory_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "IN_MEMORY_BYTES", 2**20)
    monkeypatch.setattr(files, "WRITTEN_BYTES", 2**20)
    count = 3000
    pixels = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(count, 3, 64, 64))
    pixels[:] = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 64), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count) % 256
    pixels.flush()
    (tmp_path / "mine.py").write_text(MAPPED)
    options = {"path": str(tmp_path / "pixels"), "count": count}
    dataset = UserDataset(use="mine.py:make", use_group="datasets", use_folder=tmp_path, **options)
    here = context(tmp_path / "work")
    tracemalloc.start()
    DataStage(dataset).run(here, {})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < pixels.nbytes / 3
    test = load_split(here.output("test")).samples
    np.testing.assert_array_equal(test, pixels[:9].transpose(0, 2, 3, 1))


def test_a_broken_image_among_many_leaves_no_half_of_a_split_in_the_store(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / "images" / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:60])
    store = Store(tmp_path / "store")
    plan = Plan("p", 0, (Node("data", DataStage(ImageFolder(use="image_folder", path=tmp_path / "images")), {}),))
    with pytest.raises(ConfigError, match=r"b/19\.png cannot be read"):
        Engine(store, Silent()).run(plan, Selection())
    assert not [each for each in store.blobs.rglob("*") if each.is_file()]
    path.write_bytes(whole)
    (again,) = Engine(store, Silent()).run(plan, Selection())
    assert again.record.headline == "14 training, 2 validation and 4 test images, 2 classes"
