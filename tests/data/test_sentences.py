"""SST-2 and TREC, of files that are known to the bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from edgekd.data.sentences import Sentences, Sst2, Trec
from edgekd.errors import ConfigError
from edgekd.progress import Silent


@pytest.fixture
def folder(edgekd_data: Path) -> Path:
    if not (edgekd_data / "text").is_dir():
        pytest.skip("no folder text in EDGEKD_DATA")
    return edgekd_data / "text"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_sst2_learns_from_train_and_dev_and_its_second_class_is_positive(folder: Path) -> None:
    data = Sst2(use="sst2").load(Silent())
    assert data.classes == ("negative", "positive")
    assert (len(data.train), len(data.test)) == (6920 + 872, 1821)
    assert np.bincount(data.test.labels).tolist() == [912, 909]  # as published
    samples = np.asarray(data.train.samples).tolist()
    assert samples[6920] == b"one long string of cliches ."
    assert data.train.labels[6920] == 0
    praised = np.array([b"powerful" in each.split() for each in samples])
    assert data.train.labels[praised].mean() > 0.9
    assert "rancid crème brûlée" in np.asarray(data.test.samples).tolist()[1].decode()


@pytest.mark.parametrize(
    ("name", "words", "count"),
    [
        ("description", (b"What is the origin", b"Why do", b"What does it mean"), 1162),
        ("entity", (b"What color", b"What animal", b"What breed"), 1250),
        ("abbreviation", (b"What is the abbreviation", b"What does the acronym", b"What does the abbreviation"), 86),
        ("human", (b"Who was", b"Who invented", b"Who wrote"), 1223),
        ("location", (b"What country", b"What city", b"Where is"), 835),
        ("number", (b"How many", b"When was", b"What year"), 896),
    ],
)
def test_the_questions_of_each_class_of_trec_ask_for_what_its_name_says(
    folder: Path, name: str, words: tuple[bytes, ...], count: int
) -> None:
    """The counts are those that Li and Roth published for the six coarse classes."""
    data = Trec(use="trec").load(Silent())
    assert (len(data.train), len(data.test)) == (5452, 500)
    number = data.classes.index(name)
    assert (data.train.labels == number).sum() == count
    asked = np.array([each.startswith(words) for each in np.asarray(data.train.samples).tolist()])
    assert asked.sum() >= 5
    assert (data.train.labels[asked] == number).mean() > 0.75


def test_what_is_not_ascii_in_trec_is_read_as_latin_1(folder: Path) -> None:
    samples = np.asarray(Trec(use="trec").load(Silent()).train.samples).tolist()
    strange = [each.decode() for each in samples if not each.isascii()]
    assert strange
    assert not any("\ufffd" in each for each in strange)


@pytest.mark.parametrize("kind", [Sst2, Trec])
def test_files_that_are_not_here_are_told_with_the_places_for_them(
    kind: type[Sentences], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{kind.title} is not here") as error:
        kind(use="x").load(Silent())
    hint = str(error.value.hint)
    assert all(name in hint for name in (*kind.train, *kind.test))
    assert f"{tmp_path}/data/text" in hint
    assert "\n" not in hint


def test_a_file_that_was_changed_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*Trec.train, *Trec.test):
        (tmp_path / "text").mkdir(exist_ok=True)
        shutil.copyfile(folder / name, tmp_path / "text" / name)
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    assert len(Trec(use="trec").load(Silent()).test) == 500
    with (tmp_path / "text/TREC.test.all").open("ab") as stream:
        stream.write(b"1 one more\n")
    with pytest.raises(ConfigError, match=r"TREC\.test\.all is another file: its sha256 is"):
        Trec(use="trec").load(Silent())


def test_the_identity_needs_no_files_and_follows_the_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKD_DATA", str(tmp_path))
    known = Sst2(use="sst2").identity()
    assert Sst2(use="sst2").identity() == known
    other = Sst2.model_validate({"use": "sst2", "tokenizer": {"size": 100}})
    assert other.identity() != known
