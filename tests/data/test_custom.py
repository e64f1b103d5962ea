from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.config.check import check
from edgekd.config.section import Section
from edgekd.config.source import Source
from edgekd.data.base import Dataset
from edgekd.errors import ConfigError
from edgekd.progress import Silent

GOOD = """
import numpy as np

def make(count=4):
    images = np.arange(count * 12, dtype=np.uint8).reshape(count, 3, 4)
    labels = np.arange(count) % 2
    return dict(
        train_images=images, train_labels=labels, test_images=images[:2], test_labels=labels[:2],
        classes=["even", "odd"],
    )
"""


def dataset(tmp_path: Path, code: str, **options: object) -> Dataset:
    from typing import Annotated

    from edgekd.config.component import Component, Use

    (tmp_path / "mine.py").write_text(code)

    class File(Section):
        data: Annotated[Component, Use("datasets")]

    source = Source(tmp_path / "pipe.yaml", {"data": {"use": "mine.py:make", **options}}, {})  # type: ignore[dict-item]
    component = check(File, source).data
    assert isinstance(component, Dataset)
    return component


def test_a_function_of_the_users_gives_the_images(tmp_path: Path) -> None:
    data = dataset(tmp_path, GOOD, count=6).load(Silent())
    assert data.train.samples.shape == (6, 3, 4, 1)
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.train.labels.dtype == np.int64
    assert data.classes == ("even", "odd")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("return None", "returned NoneType"),
        ("return {'classes': []}", "returned no 'train_images'"),
        (
            "r['train_images'] = r['train_images'] / 255.0",
            r"train_images: float64 \(4, 3, 4\) is not an array",
        ),
        ("r['train_images'] = r['train_images'][..., None].repeat(4, 3)", r"train_images: uint8 \(4, 3, 4, 4\) is not"),
        ("r['train_labels'] = r['train_labels'][:3]", r"train_labels are int64 \(3,\) for 4 images"),
        ("r['train_labels'] = r['train_labels'] / 1.0", "train_labels are float64"),
        ("r['test_labels'] = r['test_labels'] + 1", "test_labels run from 1 to 2, but there are 2 classes"),
        ("r['train_labels'] = r['train_labels'] * 0", "1 of 2 classes occur in train_labels"),
        (
            "r['test_images'] = r['test_images'][:, :2]",
            r"training images are of shape \(3, 4, 1\), test images of \(2, 4, 1\)",
        ),
    ],
)
def test_what_is_wrong_with_the_functions_answer_is_said(tmp_path: Path, change: str, words: str) -> None:
    code = f"{GOOD}\n_make = make\ndef make():\n    r = _make()\n    {change}\n    return r\n"
    with pytest.raises(ConfigError, match=words):
        dataset(tmp_path, code).load(Silent())


VECTORS = """
import numpy as np

def make(missing=False, kind=float):
    features = np.arange(12, dtype=kind).reshape(4, 3)
    if missing:
        features[2, 1] = np.nan
    labels = np.array([0, 1, 0, 1])
    return dict(
        train_features=features, train_labels=labels, test_features=features[:2], test_labels=labels[:2],
        classes=["low", "high"],
    )
"""


@pytest.mark.parametrize("kind", ["float64", "float32", "int8"])
def test_a_function_of_the_users_may_give_vectors(tmp_path: Path, kind: str) -> None:
    component = dataset(tmp_path, VECTORS, modality="vector", kind=kind)
    assert component.modality == "vector"
    data = component.load(Silent())
    assert data.train.samples.dtype == np.float32
    assert np.asarray(data.train.samples).tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


def test_a_missing_value_is_told_by_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train_features: row 2, column 1 is nan \(both counted from 0\)") as error:
        dataset(tmp_path, VECTORS, modality="vector", missing=True).load(Silent())
    assert "fill in what is missing" in str(error.value.hint)


def test_the_keys_follow_the_kind_of_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="returned no 'train_features'") as error:
        dataset(tmp_path, GOOD, modality="vector").load(Silent())
    assert "train_features, train_labels, test_features" in str(error.value.hint)


def test_an_unknown_kind_of_input_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.modality: unknown kind of input 'vectro'") as error:
        dataset(tmp_path, VECTORS, modality="vectro")
    assert error.value.hint == "did you mean 'vector'?"


def test_the_kind_of_input_decides_the_identity(tmp_path: Path) -> None:
    assert dataset(tmp_path, VECTORS).identity() != dataset(tmp_path, VECTORS, modality="vector").identity()


def test_an_option_the_function_does_not_take_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no option 'cuont'"):
        dataset(tmp_path, GOOD, cuont=3).load(Silent())


def test_identity_follows_code_options_and_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "raw.bin").write_bytes(b"1")
    first = dataset(tmp_path, GOOD, sources=["raw.bin"]).identity()
    assert dataset(tmp_path, GOOD, sources=["raw.bin"]).identity() == first
    assert dataset(tmp_path, GOOD, sources=["raw.bin"], count=6).identity() != first
    assert dataset(tmp_path, f"{GOOD}\n# new\n", sources=["raw.bin"]).identity() != first
    dataset(tmp_path, GOOD)
    (tmp_path / "raw.bin").write_bytes(b"2")
    assert dataset(tmp_path, GOOD, sources=["raw.bin"]).identity() != first


def test_a_hidden_file_in_a_folder_of_sources_decides_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / ".index").write_bytes(b"1")
    first = dataset(tmp_path, GOOD, sources=["raw"]).identity()
    (tmp_path / "raw" / ".index").write_bytes(b"22")
    assert dataset(tmp_path, GOOD, sources=["raw"]).identity() != first


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the source gone\.bin"):
        dataset(tmp_path, GOOD, sources=["gone.bin"]).identity()


TEXTS = """
import numpy as np

def make():
    texts = ["a good film", "a bad film", "good, good", "bad"]
    return dict(
        train_texts=texts, train_labels=[1, 0, 1, 0], test_texts=texts[:2], test_labels=[1, 0], classes=["-", "+"],
    )
"""


def test_texts_are_read_by_the_vocabulary_that_the_pipeline_names(tmp_path: Path) -> None:
    from edgekd.data.modalities.text import specify

    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ngood\nfilm\nbad\n,\nnever\n")
    tokenizer = {"vocabulary": "vocab.txt", "size": 3, "length": 7}
    source = dataset(tmp_path, TEXTS, modality="text", tokenizer=tokenizer)
    before = source.identity()
    data = source.load(Silent())
    ids, pieces = specify(data.train.samples, data.reading)
    assert ids["shape"] == [7]
    assert ids["preprocessing"]["vocabulary"][-3:] == ["good", "a", "film"]
    assert len(pieces["preprocessing"]["vocabulary"]) == 10

    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ngood\nfilm\nbad\n,\never\n")
    assert dataset(tmp_path, TEXTS, modality="text", tokenizer=tokenizer).identity() != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("float('nan')", r"train_texts: text 3 \(counted from 0\) is of type float"),
        ("5", r"train_texts: text 3 \(counted from 0\) is of type int"),
        ("None", r"train_texts: text 3 \(counted from 0\) is of type NoneType"),
        ("'bad\\0'", r"train_texts: text 3 \(counted from 0\): the character 0 at byte 3"),
        ("b'caf\\xe9'", r"train_texts: text 3 \(counted from 0\): not UTF-8: byte 3"),
    ],
)
def test_what_lies_among_texts_and_is_none_is_told_by_its_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        dataset(tmp_path, TEXTS.replace('"bad"]', f"{text}]"), modality="text").load(Silent())


def test_texts_may_be_str_and_utf_8_side_by_side(tmp_path: Path) -> None:
    data = dataset(tmp_path, TEXTS.replace('"bad"]', "'caf\u00e9'.encode()]"), modality="text").load(Silent())
    assert data.train.samples[3:].tolist()[0].decode() == "caf\u00e9"


@pytest.mark.parametrize("value", [float("nan"), [1, float("inf")], {"a": float("-inf")}])
def test_an_option_that_no_record_can_keep_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(ConfigError, match=r"pipe.yaml.*data: `count` holds .nan or .inf"):
        dataset(tmp_path, GOOD, count=value)


def test_a_class_whose_name_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the class 'b\\ud800' holds half of a surrogate pair"):
        dataset(tmp_path, TEXTS.replace('["-", "+"]', '["a", "b\\ud800"]'), modality="text").load(Silent())


def test_a_tokenizer_is_of_texts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pipe.yaml.*`tokenizer` is of texts"):
        dataset(tmp_path, GOOD, tokenizer={"size": 8})


SOUNDS = """
import numpy as np

def make(rate=8000):
    sounds = (np.random.default_rng(0).normal(size=(4, 8000)) * 1000).astype(np.int16)
    return dict(
        train_sounds=sounds, train_labels=[1, 0, 1, 0], test_sounds=sounds[:2], test_labels=[1, 0],
        classes=["-", "+"], rate=rate,
    )
"""


def test_sounds_have_the_rate_that_the_function_says(tmp_path: Path) -> None:
    from edgekd.data.modalities.sound import specify

    data = dataset(tmp_path, SOUNDS, modality="sound").load(Silent())
    (mel,) = specify(data.train.samples, data.reading)
    assert (mel["preprocessing"]["rate"], mel["preprocessing"]["mels"]) == (8000, 16)


@pytest.mark.parametrize("rate", [0, 10**9, True, "fast", 8000.0])
def test_a_rate_that_is_none_is_told(tmp_path: Path, rate: object) -> None:
    with pytest.raises(ConfigError, match=r"make: `rate` is .*"):
        dataset(tmp_path, SOUNDS, modality="sound", rate=rate).load(Silent())
