"""Samples without labels fit the contract: of fixed size they must have its form, texts may be of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from edgekd.data.base import Dataset
from edgekd.data.csv import Csv
from edgekd.data.image_folder import ImageFolder
from edgekd.data.samples import UNLABELLED
from edgekd.data.sound_folder import SoundFolder
from edgekd.data.text import Text
from edgekd.errors import ConfigError
from edgekd.pipeline.stage import Context
from edgekd.progress import Silent
from edgekd.records.contract import ModelContract
from edgekd.stages.data import DataStage
from edgekd.stages.files import load_record, load_split
from edgekd.stages.transfer import TransferStage


def context(work: Path, outputs: dict[str, str]) -> Context:
    work.mkdir()
    return Context(work, work.parent / "cache", outputs, 0, Silent())


def contract_of(dataset: Dataset, work: Path) -> Path:
    made = context(work, dict(DataStage.outputs))
    DataStage(dataset).run(made, {})
    return made.output("contract")


def transferred(dataset: Dataset, contract: Path, work: Path) -> tuple[str, Path]:
    made = context(work, dict(TransferStage.outputs))
    return TransferStage(dataset).run(made, {"contract": contract}), made.output("train")


def texts(folder: Path) -> Text:
    path = folder / "texts.txt"
    path.write_text("".join(f"{('bad', 'good')[n % 2]} film number {n}\n" for n in range(40)))
    return Text.model_validate({"use": "text", "train": str(path), "tokenizer": {"length": 8}})


def rows(path: Path, features: int) -> Csv:
    names = ",".join(f"x{column}" for column in range(features))
    lines = "".join(f"{','.join(str(n + column) for column in range(features))},{n % 2}\n" for n in range(40))
    path.write_text(f"{names},kind\n{lines}")
    return Csv.model_validate({"use": "csv", "path": str(path), "label": "kind"})


def images(folder: Path, side: int, mode: str = "RGB") -> ImageFolder:
    for n in range(40):
        path = folder / ("cat", "dog")[n % 2] / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
    return ImageFolder.model_validate({"use": "image_folder", "path": str(folder)})


def test_texts_of_any_length_without_labels_are_taken(tmp_path: Path) -> None:
    contract = contract_of(texts(tmp_path), tmp_path / "data")
    (spec,) = load_record(ModelContract, contract).inputs
    assert spec.shape == (8,)
    (tmp_path / "more.txt").write_text("".join(f"words {'more ' * n}\n" for n in range(300)))
    more = Text.model_validate({"use": "text", "train": str(tmp_path / "more.txt"), "label": None})
    told, path = transferred(more, contract, tmp_path / "transfer")
    assert told == "300 texts without labels"
    split = load_split(path)
    assert split.labels.tolist() == [UNLABELLED] * 300
    assert np.asarray(split.samples).tolist()[2] == b"words more more"


def test_texts_without_labels_are_no_data_to_learn_a_class_from(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("one\ntwo\n")
    more = Text.model_validate({"use": "text", "train": str(tmp_path / "more.txt"), "label": None})
    with pytest.raises(ConfigError, match="its samples have no labels") as error:
        contract_of(more, tmp_path / "data")
    assert error.value.where == "data"


def test_samples_of_another_kind_are_refused(tmp_path: Path) -> None:
    contract = contract_of(texts(tmp_path), tmp_path / "data")
    with pytest.raises(ConfigError, match="its samples are vector, those of `data` text") as error:
        transferred(rows(tmp_path / "rows.csv", 3), contract, tmp_path / "transfer")
    assert error.value.where == "distill.transfer"


def test_rows_must_have_as_many_features(tmp_path: Path) -> None:
    contract = contract_of(rows(tmp_path / "rows.csv", 3), tmp_path / "data")
    assert transferred(rows(tmp_path / "same.csv", 3), contract, tmp_path / "same")[0] == "32 rows without labels"
    for features in (1, 4):
        with pytest.raises(ConfigError, match=rf"of the form \({features},\), those of `data` \(3,\)"):
            transferred(rows(tmp_path / f"{features}.csv", features), contract, tmp_path / f"{features}")


def test_images_must_have_the_same_size_and_channels(tmp_path: Path) -> None:
    contract = contract_of(images(tmp_path / "images", 6), tmp_path / "data")
    assert transferred(images(tmp_path / "same", 6), contract, tmp_path / "a")[0] == "32 images without labels"
    with pytest.raises(ConfigError, match=r"of the form \(3, 7, 7\), those of `data` \(3, 6, 6\)"):
        transferred(images(tmp_path / "larger", 7), contract, tmp_path / "b")
    with pytest.raises(ConfigError, match=r"of the form \(1, 6, 6\), those of `data` \(3, 6, 6\)"):
        transferred(images(tmp_path / "grey", 6, "L"), contract, tmp_path / "c")


def sounds(folder: Path, rate: int, seconds: float, milliseconds: float) -> SoundFolder:
    for n in range(20):
        path = folder / ("no", "yes")[n % 2] / f"{n}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(n).integers(-9000, 9000, round(rate * seconds))
        wavfile.write(path, rate, noise.astype(np.int16))
    frames = {"window_ms": milliseconds, "hop_ms": milliseconds / 2, "mels": 16}
    return SoundFolder.model_validate(
        {"use": "sound_folder", "path": str(folder), "rate": rate, "seconds": seconds, "test": 0.2, **frames}
    )


def test_sounds_of_another_rate_are_refused_though_they_have_as_many_samples_and_bands(tmp_path: Path) -> None:
    contract = contract_of(sounds(tmp_path / "slow", 8000, 1.0, 32), tmp_path / "data")
    told, _ = transferred(sounds(tmp_path / "also", 8000, 1.0, 32), contract, tmp_path / "alike")
    assert told == "16 sounds without labels"
    with pytest.raises(ConfigError, match=r"read otherwise than those of `data`: rate 16000, not 8000"):
        transferred(sounds(tmp_path / "quick", 16000, 0.5, 16), contract, tmp_path / "other")
