"""The Free Spoken Digit Dataset: 3,000 recordings of ten words by six people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, JsonValue, model_validator

from edgekd.config.paths import data_folders
from edgekd.data.content import content_digest
from edgekd.data.image_files import FolderFiles
from edgekd.data.samples import LabelledData, Split
from edgekd.data.sounds import ENDINGS, Sounds
from edgekd.errors import ConfigError
from edgekd.progress import Progress

FOLDER = Path("fsdd/recordings")
NAME = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")
TESTED = 5  # of each person's recordings of a digit: the first, as the data set's authors say
SPEAKER = "george"  # the first by name, not by any result


class Recording(NamedTuple):
    """What its file's name says."""

    digit: int
    speaker: str
    number: int
    name: str


class SpokenDigits(Sounds):
    """The words zero to nine at 8 kHz, 50 times each by each of six people.

    `split: official` tests on the first 5 recordings of each word by each person, 300 in all. `split: speaker` tests on
    all 500 recordings of one person, of whom nothing is learned; the validation sounds are then of the other five.

    Source: Jackson et al., Free Spoken Digit Dataset, https://github.com/Jakobovski/free-spoken-digit-dataset.
    """

    rate: int = Field(
        8000, ge=1000, le=384_000, description="samples a second, to which recordings of another rate are brought"
    )
    split: Literal["official", "speaker"] = Field("official", description="what the test sounds are")
    speaker: str | None = Field(None, description=f"whose recordings `split: speaker` tests on; by default {SPEAKER}'s")

    @model_validator(mode="after")
    def _speaker_of_the_split(self) -> Self:
        if self.speaker is not None and self.split != "speaker":
            raise ValueError("`speaker` is for `split: speaker`\ngive both, or none of them")
        return self

    def identity(self) -> JsonValue:
        known = super().identity()
        assert isinstance(known, dict)
        folder = _folder()
        try:
            return {**known, "content": content_digest(folder, FolderFiles(folder, ENDINGS).names)}
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename or folder}: {error.strerror}") from error

    def load(self, progress: Progress) -> LabelledData:
        folder = _folder()
        files = FolderFiles(folder, ENDINGS)
        recordings = sorted(_recording(name, folder) for name in files.names)
        tested = np.array(self._tested(recordings, folder))
        labels = np.array([each.digit for each in recordings], np.int64)
        for part, rows in (("learn from", ~tested), ("test on", tested)):
            missing = set(range(10)).difference(labels[rows].tolist())
            if missing:
                raise ConfigError(f"{folder}: no recordings of {min(missing)} to {part}", hint=_where_to_put_it())
        everything = Split(self._recordings(files, [each.name for each in recordings], progress), labels)
        train, test = (everything.only(np.flatnonzero(rows)) for rows in (~tested, tested))
        return LabelledData(train, test, tuple("0123456789"), self._reading())

    def _tested(self, recordings: list[Recording], folder: Path) -> list[bool]:
        if self.split == "official":
            return [each.number < TESTED for each in recordings]
        speaker = self.speaker or SPEAKER
        speakers = sorted({each.speaker for each in recordings})
        if speaker not in speakers:
            raise ConfigError(
                f"{folder}: no recordings by {speaker}", hint=f"one of {', '.join(speakers)}", where="data.speaker"
            )
        return [each.speaker == speaker for each in recordings]


def _folder() -> Path:
    """The first data folder's that is there.

    Raises:
        ConfigError: none is.
    """
    for folder in data_folders():
        if (folder / FOLDER).is_dir():
            return folder / FOLDER
    raise ConfigError("the Free Spoken Digit Dataset is not here", hint=_where_to_put_it())


def _where_to_put_it() -> str:
    places = ", ".join(str(folder / FOLDER) for folder in data_folders())
    return (
        "put the .wav files of `recordings` of https://github.com/Jakobovski/free-spoken-digit-dataset into one of: "
        f"{places}; EDGEKD_DATA names a data folder of your own"
    )


def _recording(name: str, folder: Path) -> Recording:
    found = NAME.fullmatch(name)
    if found is None:
        raise ConfigError(
            f"{folder}: {name} is not named DIGIT_SPEAKER_NUMBER.wav",
            hint="only the data set's recordings may be there",
        )
    digit, speaker, number = found.groups()
    return Recording(int(digit), speaker, int(number), name)
