from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from edgekd.data.repeats import repeats
from edgekd.data.spoken_digits import SpokenDigits
from edgekd.errors import ConfigError
from edgekd.progress import Silent
from tests.conftest import Told
from tests.data.wav_files import tone, wav


def dataset(**options: object) -> SpokenDigits:
    return SpokenDigits.model_validate({"use": "spoken_digits", **options})


@pytest.fixture
def real(edgekd_data: Path) -> Path:
    folder = edgekd_data / "fsdd" / "recordings"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of two people, whose recordings tell digit, person and number by their pitch."""
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "own" / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for person, name in enumerate(["george", "theo"]):
        for digit in range(10):
            for number in range(7):
                hz = 200 + 300 * digit + 10 * number + 100 * person
                (folder / f"{digit}_{name}_{number}.wav").write_bytes(wav(tone(hz, seconds=0.2)))
    return folder


def test_the_official_split_tests_on_five_of_each_persons_words(real: Path, told: Told) -> None:
    begun = time.monotonic()
    data = dataset().load(told)
    train, test = np.asarray(data.train.samples), np.asarray(data.test.samples)
    assert time.monotonic() - begun < 10  # a second where nothing else runs
    assert (train.shape, test.shape) == ((2700, 8000), (300, 8000))
    assert np.bincount(data.train.labels).tolist() == [270] * 10
    assert np.bincount(data.test.labels).tolist() == [30] * 10
    assert data.classes == tuple("0123456789")
    assert told.lines == ["20 of 3,000 recordings are longer than 1 s and are cut behind; the longest has 2.28 s"]


def test_the_samples_are_those_of_their_files(real: Path) -> None:
    data = dataset().load(Silent())
    names = {}
    for path in real.glob("*_0.wav"):
        rate, samples = wavfile.read(path)
        assert rate == 8000
        names[np.pad(samples[:8000], (0, max(0, 8000 - len(samples)))).tobytes()] = int(path.name[0])
    found = [names.get(sound.tobytes()) for sound in np.asarray(data.test.samples)]
    known = [(label, want) for label, want in zip(found, data.test.labels, strict=True) if label is not None]
    assert len(known) == 60
    assert all(label == want for label, want in known)


def test_a_speaker_who_is_held_out_is_not_learned_from(real: Path) -> None:
    data = dataset(split="speaker", speaker="theo").load(Silent())
    assert (len(data.train), len(data.test)) == (2500, 500)
    his = {wavfile.read(path)[1][:8000].tobytes() for path in real.glob("*_theo_*.wav")}
    begins = [{bytes(row).rstrip(b"\0") for row in np.asarray(part.samples)} for part in (data.train, data.test)]
    stripped = {each.rstrip(b"\0") for each in his}
    assert not stripped & begins[0]
    assert stripped == begins[1]


def test_no_test_recording_is_among_those_that_are_learned_from(real: Path) -> None:
    data = dataset().load(Silent())
    calls = Counter[str]()

    def advance(amount: int = 1, *, note: str | None = None) -> None:
        calls["rows"] += amount

    found = repeats([data.train.samples], data.test.samples, advance)
    assert found.equal.tolist() == []
    assert found.compared == 0  # sounds are no pictures
    assert calls["rows"] == len(data.train)


def test_the_speaker_held_out_by_default_is_the_first_by_name(small: Path) -> None:
    data, named = (dataset(split="speaker", **more).load(Silent()) for more in ({}, {"speaker": "george"}))
    np.testing.assert_array_equal(data.test.samples, named.test.samples)
    other = dataset(split="speaker", speaker="theo").load(Silent())
    np.testing.assert_array_equal(other.train.samples, named.test.samples)


def test_labels_belong_to_their_recordings(small: Path) -> None:
    data = dataset(seconds=0.2).load(Silent())
    assert len(data.train) == 40
    assert len(data.test) == 100
    for part in (data.train, data.test):
        spectrum = np.abs(np.fft.rfft(np.asarray(part.samples)))
        hz = spectrum.argmax(axis=1) * 5
        assert ((hz - 200) // 300).tolist() == part.labels.tolist()


def test_an_unknown_speaker_is_told_with_those_there_are(small: Path) -> None:
    with pytest.raises(ConfigError, match="no recordings by jackson") as error:
        dataset(split="speaker", speaker="jackson").load(Silent())
    assert error.value.hint == "one of george, theo"


def test_a_speaker_without_its_split_is_refused() -> None:
    with pytest.raises(ValueError, match="`speaker` is for `split: speaker`"):
        dataset(speaker="theo")


def test_a_file_that_does_not_belong_there_is_told(small: Path) -> None:
    (small / "ten_theo_0.wav").write_bytes(wav(tone(100)))
    with pytest.raises(ConfigError, match=r"ten_theo_0\.wav is not named DIGIT_SPEAKER_NUMBER\.wav"):
        dataset().load(Silent())


def test_missing_digits_are_told(small: Path) -> None:
    for path in small.glob("3_*"):
        path.unlink()
    with pytest.raises(ConfigError, match="no recordings of 3 to learn from"):
        dataset().load(Silent())


def test_without_files_the_error_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for ask in (dataset().identity, lambda: dataset().load(Silent())):
        with pytest.raises(ConfigError, match="the Free Spoken Digit Dataset is not here") as error:
            ask()
        hint = str(error.value.hint)
        assert "put the .wav files" in hint
        assert "data/fsdd/recordings" in hint
        assert str(tmp_path / "cache") in hint
        assert "EDGEKD_DATA" in hint


def test_the_identity_follows_the_recordings_and_the_split(small: Path) -> None:
    before = dataset().identity()
    assert dataset().identity() == before
    assert dataset(split="speaker").identity() != before
    (small / "0_theo_0.wav").write_bytes(wav(tone(999)))
    assert dataset().identity() != before
