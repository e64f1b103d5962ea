from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from edgekd.config.component import component_class
from edgekd.config.registry import DATASETS
from edgekd.data.modalities import sound
from edgekd.data.modalities.base import contract_for
from edgekd.data.samples import LabelledData
from edgekd.data.sound_folder import SoundFolder
from edgekd.errors import ConfigError
from edgekd.progress import Progress, Silent
from tests.conftest import Told
from tests.data.wav_files import tone, wav


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def constant(value: int, *, seconds: float = 0.5, rate: int = 8000) -> bytes:
    """A recording that tells which it is."""
    return wav(np.full(round(seconds * rate), value, np.int16), rate=rate)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Two classes in train/ and test/."""
    root = tmp_path / "words"
    names = ["train/yes/a", "train/yes/b", "train/no/a", "train/no/deep/b", "test/no/a", "test/yes/a"]
    for value, name in enumerate(names):
        write(root / f"{name}.wav", constant(100 * value))
    return root


def dataset(root: Path, **options: object) -> SoundFolder:
    return SoundFolder.model_validate({"use": "sound_folder", "path": str(root), "rate": 8000, **options})


def load(root: Path, progress: Progress | None = None, /, **options: object) -> LabelledData:
    return dataset(root, **options).load(progress or Silent())


def test_splits_classes_and_samples_come_as_they_lie(split: Path) -> None:
    data = load(split)
    assert data.classes == ("no", "yes")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    train = np.asarray(data.train.samples)
    assert train.shape == (4, 8000)
    assert train.dtype == np.int16
    assert train[:, 0].tolist() == train[:, 3999].tolist() == [200, 300, 0, 100]
    assert (train[:, 4000:] == 0).all()
    assert np.asarray(data.test.samples)[:, 0].tolist() == [400, 500]


def test_a_tar_reads_as_the_folder_that_it_holds(split: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "words.tar", "w") as archive:
        archive.add(split, "words")
    from_tar, from_folder = load(tmp_path / "words.tar"), load(split)
    np.testing.assert_array_equal(from_tar.train.samples, from_folder.train.samples)
    np.testing.assert_array_equal(from_tar.test.samples, from_folder.test.samples)


def test_without_a_test_folder_a_stratified_share_becomes_the_test_split(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / "all" / ("even", "odd")[number % 2] / f"{number:02}.WAV", constant(number))
    data = load(tmp_path / "all", test=0.2)
    assert np.bincount(data.test.labels).tolist() == [2, 2]
    values = [*np.asarray(data.train.samples)[:, 0], *np.asarray(data.test.samples)[:, 0]]
    assert sorted(values) == list(range(20))
    assert [value % 2 for value in np.asarray(data.test.samples)[:, 0]] == data.test.labels.tolist()


def test_recordings_of_any_rate_are_brought_to_one(split: Path) -> None:
    write(split / "train/no/a.wav", wav(tone(440, rate=44100), rate=44100))
    found = np.asarray(load(split).train.samples)[0]
    assert np.abs(found[100:-100] - tone(440)[100:-100].astype(int)).max() <= 2


def test_how_many_recordings_are_cut_is_told(split: Path, told: Told) -> None:
    write(split / "train/no/a.wav", constant(1, seconds=2.5, rate=16000))
    assert load(split, told).train.samples.shape == (4, 8000)
    assert told.lines == ["1 of 6 recordings are longer than 1 s and are cut behind; the longest has 2.50 s"]
    told.lines.clear()
    assert load(split, told, seconds=2.5).train.samples.shape == (4, 20000)
    assert told.lines == []


def test_the_options_of_the_frames_reach_the_contract(split: Path) -> None:
    data = load(split, window_ms=25, hop_ms=10, mels=20)
    contract = contract_for("sound", data.train.samples, data.classes, data.reading)
    rules = contract.inputs[0].preprocessing
    assert contract.shape == (1, 20, 98)
    assert [rules[key] for key in ("rate", "samples", "window", "hop", "fft")] == [8000, 8000, 200, 80, 256]


def test_what_is_trained_on_is_what_the_device_reads(split: Path) -> None:
    write(split / "train/no/a.wav", wav(tone(440, rate=44100, seconds=1.5), rate=44100))
    data = load(split)
    contract = contract_for("sound", data.train.samples, data.classes, data.reading)
    specs = [each.model_dump(mode="json") for each in contract.inputs]
    on_the_device = sound.read(split / "train/no/a.wav", specs)
    np.testing.assert_array_equal(on_the_device[0], np.asarray(data.train.samples)[0])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (constant(1)[:-5], "it is cut off: 8000 bytes of samples by its header, 7995 are there"),
        (wav(np.zeros(0, np.int16)), "it is of zero length: no samples"),
        (wav(np.zeros(8, np.int16), channels=2), "it has 2 channels"),
    ],
)
def test_a_broken_recording_is_named_before_anything_is_computed(split: Path, content: bytes, reason: str) -> None:
    write(split / "test/yes/a.wav", content)
    with pytest.raises(ConfigError, match=f"test/yes/a.wav cannot be read: {reason}") as error:
        load(split)
    assert error.value.hint == "replace the file, or remove it"


def test_other_layouts_are_refused_with_the_one_that_is_expected(split: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="empty: no WAV files found") as error:
        load(tmp_path / "empty")
    assert error.value.hint == "expected train/CLASS/*.wav and test/CLASS/*.wav, or CLASS/*.wav"
    with pytest.raises(ConfigError, match="only one class, 'yes'"):
        load(_one_class(tmp_path))


def _one_class(folder: Path) -> Path:
    for name in ("a", "b"):
        write(folder / "one" / "yes" / f"{name}.wav", constant(1))
    return folder / "one"


def test_the_identity_follows_bytes_and_options_and_not_the_place(split: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    before = dataset(split).identity()
    split.rename(moved)
    assert dataset(moved).identity() == before
    assert dataset(moved, seconds=0.5).identity() != before
    write(moved / "train/no/a.wav", constant(7))
    assert dataset(moved).identity() != before


def test_a_folder_that_is_not_there_is_refused_where_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder or .tar file"):
        component_class(DATASETS, "sound_folder").model_validate({"use": "sound_folder", "path": str(tmp_path / "no")})
