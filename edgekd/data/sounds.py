"""What data sets of sounds share: how recordings become samples of one length, read where they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from edgekd.data.base import Dataset
from edgekd.data.image_files import ImageFiles
from edgekd.data.modalities.sound.inputs import RULES, Wav, fitted, opened
from edgekd.errors import ConfigError
from edgekd.progress import Progress

ENDINGS = frozenset({"wav", "wave"})


class Recordings:
    """int16 (N, S) of WAV files in the order of `names`, never in memory whole."""

    def __init__(self, files: ImageFiles, names: Sequence[str], rate: int, samples: int) -> None:
        self.files, self.names, self.rate = files, names, rate
        self.shape: tuple[int, ...] = (len(names), samples)
        self.dtype: np.dtype[Any] = np.dtype(np.int16)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[np.int16]:
        wanted = np.arange(len(self))[rows].tolist()
        sounds = np.empty((len(wanted), self.shape[1]), np.int16)
        for place, row in enumerate(wanted):
            name = self.names[row]
            try:
                sounds[place] = fitted(self.files.read(name), self.rate, self.shape[1], RULES["resampling"])
            except (OSError, ValueError) as error:
                raise _unreadable(name, error) from error
        return sounds

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them, in memory."""
        return self[:] if dtype is None else self[:].astype(dtype)


class Sounds(Dataset):
    """The options of every data set of sounds; without those of the frames the rate decides."""

    modality: ClassVar[str] = "sound"

    rate: int = Field(
        16000, ge=1000, le=384_000, description="samples a second, to which recordings of another rate are brought"
    )
    seconds: float = Field(
        1.0,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="length of every sound: a longer recording is cut behind, a shorter one ends in silence",
    )
    mels: int | None = Field(
        None, ge=4, le=256, description="bands of pitch; by default 40, and 16 where the rate is below 16,000"
    )
    window_ms: float | None = Field(None, gt=0, le=1000, description="length of a frame; by default 32")
    hop_ms: float | None = Field(None, gt=0, le=1000, description="from one frame to the next; by default 16")

    def _reading(self) -> dict[str, JsonValue]:
        """What `specify` is told."""
        found: dict[str, JsonValue] = {"rate": self.rate}
        if self.mels is not None:
            found["mels"] = self.mels
        for key, length_ms in (("window", self.window_ms), ("hop", self.hop_ms)):
            if length_ms is not None:
                found[key] = max(1, round(length_ms * self.rate / 1000))
        return found

    def _recordings(self, files: ImageFiles, names: Sequence[str], progress: Progress) -> Recordings:
        """The files, each of whose headers is read once: what is wrong with one is told before anything is computed.

        Raises:
            ConfigError: one cannot be read, or is no WAV file of one channel.
        """
        longer, longest = 0, 0.0
        with progress.task("looking at recordings", len(names)) as advance:
            for name in names:
                wav = _header(files, name)
                longer += wav.length > self.seconds * wav.rate
                longest = max(longest, wav.length / wav.rate)
                advance()
        if longer:
            progress.say(
                f"{longer:,} of {len(names):,} recordings are longer than {self.seconds:g} s and are cut behind; the "
                f"longest has {longest:.2f} s"
            )
        return Recordings(files, names, self.rate, round(self.seconds * self.rate))


def _header(files: ImageFiles, name: str) -> Wav:
    try:
        return opened(files.read(name))
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: OSError | ValueError) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConfigError(f"{name} cannot be read: {reason}", hint="replace the file, or remove it")
