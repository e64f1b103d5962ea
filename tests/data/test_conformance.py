"""What every data set of the registry must do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import JsonValue

from edgekd.config.component import component_class
from edgekd.config.paths import cache_folder
from edgekd.config.registry import DATASETS, MODALITIES
from edgekd.data.base import Dataset
from edgekd.data.mnist import Mnist
from edgekd.data.modalities.base import contract_for, modality
from edgekd.data.samples import LabelledData, Split
from edgekd.data.sentences import Sentences
from edgekd.data.split import stratified_split
from edgekd.progress import Silent
from tests.data.wav_files import wav


def csv_file(folder: Path) -> dict[str, object]:
    rows = "".join(f"{n},{n * n},{'odd' if n % 2 else 'even'}\n" for n in range(60))
    (folder / "rows.csv").write_text(f"n,square,kind\n{rows}")
    return {"path": str(folder / "rows.csv"), "label": "kind"}


def image_files(folder: Path) -> dict[str, object]:
    for n in range(60):
        path = folder / "pictures" / ("cat", "dog")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (5, 4, 3), dtype=np.uint8)).save(path)
    return {"path": str(folder / "pictures")}


def sound_files(folder: Path) -> dict[str, object]:
    for n in range(60):
        path = folder / "sounds" / ("hum", "hiss")[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(np.random.default_rng(n).integers(-99, 99, 4000, dtype=np.int16), rate=16000))
    return {"path": str(folder / "sounds"), "seconds": 0.25}


def spoken_digits(folder: Path) -> dict[str, object]:
    """In the user's cache, where they are looked for."""
    del folder
    recordings = cache_folder() / "data/fsdd/recordings"
    recordings.mkdir(parents=True, exist_ok=True)
    for n in range(240):
        noise = np.random.default_rng(n).integers(-99, 99, 2000, dtype=np.int16)
        (recordings / f"{n % 10}_jo_{n // 10}.wav").write_bytes(wav(noise))
    return {"seconds": 0.25}


def text_file(folder: Path) -> dict[str, object]:
    lines = "".join(f"{('odd', 'even')[n % 2]} the number {n} is this\n" for n in range(60))
    (folder / "lines.txt").write_text(lines)
    return {"train": str(folder / "lines.txt")}


OWN_FILES: dict[str, Callable[[Path], dict[str, object]]] = {
    "csv": csv_file,
    "image_folder": image_files,
    "sound_folder": sound_files,
    "spoken_digits": spoken_digits,
    "text": text_file,
}
"""Of each data set that needs some: makes small ones in a folder, and gives the options that name them."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=DATASETS.members)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def dataset(name: str, folder: Path) -> Dataset:
    folder.mkdir()
    options = OWN_FILES[name](folder) if name in OWN_FILES else {}
    found = component_class(DATASETS, name).model_validate({"use": name, **options})
    assert isinstance(found, Dataset)
    return found


def texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


def test_its_options_are_described_in_a_schema(name: str) -> None:
    schema = component_class(DATASETS, name).model_json_schema()
    assert {"use", "validation"} <= set(schema["properties"])
    assert schema["description"]
    for option, described in schema["properties"].items():
        assert option == "use" or described["description"]


def test_it_says_which_kind_of_input_it_gives(name: str, tmp_path: Path) -> None:
    assert dataset(name, tmp_path / "here").modality in MODALITIES.members


def test_its_identity_is_json_without_paths_and_the_same_elsewhere(name: str, tmp_path: Path) -> None:
    here, there = dataset(name, tmp_path / "here").identity(), dataset(name, tmp_path / "there").identity()
    assert json.loads(json.dumps(here)) == here
    assert here == there
    found = list(texts(here))
    assert found
    assert not [each for each in found if str(tmp_path) in each or Path(each).is_absolute()]


def test_its_identity_follows_its_options(name: str, tmp_path: Path) -> None:
    component = dataset(name, tmp_path / "here")
    other = component.model_validate({**component.model_dump(), "validation": 0.25})
    assert other.identity() != component.identity()


def test_its_samples_are_of_its_kind_and_its_labels_are_classes(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    component = dataset(name, tmp_path / "here")
    if isinstance(component, (Mnist, Sentences)):  # what is published, and not bundled with a library
        folder = request.getfixturevalue("edgekd_data") / component.folder
        if not folder.is_dir():
            pytest.skip(f"no {folder}")
    data = component.load(Silent())

    assert len(set(data.classes)) == len(data.classes) > 1
    assert all(isinstance(each, str) and each for each in data.classes)
    for split in (data.train, data.test):
        assert_fits(split, component.modality, len(data.classes))
    assert data.train.samples.shape[1:] == data.test.samples.shape[1:]
    assert set(data.train.labels) == set(range(len(data.classes)))
    assert contract_for(component.modality, data.train.samples, data.classes, data.reading).classes == data.classes
    kept, held_out = stratified_split(data.train.labels, component.validation, 0)
    assert len(kept) + len(held_out) == len(data.train)
    assert_equal(component.load(Silent()), data)


def assert_fits(split: Split, kind: str, classes: int) -> None:
    accepted = modality(kind).accepted(split.samples)
    assert accepted.dtype == split.samples.dtype
    np.testing.assert_array_equal(accepted, split.samples)
    assert split.labels.dtype == np.int64
    assert split.labels.shape == (len(split.samples),)
    assert 0 <= split.labels.min() <= split.labels.max() < classes


def assert_equal(one: LabelledData, other: LabelledData) -> None:
    assert one.classes == other.classes
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.samples, b.samples)
        np.testing.assert_array_equal(a.labels, b.labels)
