"""MNIST and Fashion-MNIST from their published files, found in a data folder or downloaded."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edgekd.config.paths import data_folders
from edgekd.data.base import Dataset
from edgekd.data.samples import LabelledData, Split
from edgekd.errors import ConfigError
from edgekd.progress import Progress

DOWNLOAD_TIMEOUT_S = 30.0


class Mnist(Dataset):
    """The 60,000 + 10,000 handwritten digits, 28 x 28, grey."""

    modality: ClassVar[str] = "image"
    folder: ClassVar[str] = "MNIST"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    files: ClassVar[Mapping[str, str]] = {  # name: published md5
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }

    def load(self, progress: Progress) -> LabelledData:
        folder = self._find() or self._download(progress)
        train_images, train_labels, test_images, test_labels = (
            _read_idx(folder / name, md5) for name, md5 in self.files.items()
        )
        return LabelledData(
            train=Split(train_images[..., np.newaxis], train_labels.astype(np.int64)),
            test=Split(test_images[..., np.newaxis], test_labels.astype(np.int64)),
            classes=self.classes,
        )

    def _find(self) -> Path | None:
        """The first data folder that holds all four files."""
        for candidate in self._candidates():
            if all((candidate / name).is_file() for name in self.files):
                return candidate
        return None

    def _candidates(self) -> list[Path]:
        return [folder / self.folder / "raw" for folder in data_folders()]

    def _download(self, progress: Progress) -> Path:
        """The folder in the user's cache, filled by torchvision's loader, which checks the md5 too."""
        from torchvision import datasets

        target = self._candidates()[-1]
        progress.say(f"downloading {self.folder} to {target}")
        loader = {"MNIST": datasets.MNIST, "FashionMNIST": datasets.FashionMNIST}[self.folder]
        default_timeout_s = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # torchvision sets none: a dead network would hang for ever
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                loader(str(target.parent.parent), download=True)
        except (RuntimeError, OSError) as error:
            places = ", ".join(str(candidate) for candidate in self._candidates())
            raise ConfigError(
                f"{self.folder} is not here and could not be downloaded ({_last_reason(error)})",
                hint=f"put {', '.join(self.files)} into one of: {places}; EDGEKD_DATA names a data folder of your own",
            ) from error
        finally:
            socket.setdefaulttimeout(default_timeout_s)
        return target


class FashionMnist(Mnist):
    """Zalando's 60,000 + 10,000 pieces of clothing, 28 x 28, grey."""

    folder: ClassVar[str] = "FashionMNIST"
    classes: ClassVar[tuple[str, ...]] = (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    )  # fmt: skip
    files: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    }


def _read_idx(path: Path, md5: str) -> NDArray[np.uint8]:
    """The array of a .gz idx file; read in memory, because torchvision's reader would unpack into the folder.

    Raises:
        ConfigError: the file is not, to the bit, the published one.
    """
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ConfigError(
            f"{path} is damaged: its md5 is {found}, the published file has {md5} ({len(packed)} bytes here)",
            hint="replace the file, or delete it to have all four downloaded again",
        )
    content = gzip.decompress(packed)
    dimensions = content[3]  # idx: two zero bytes, the type (8: uint8), the number of dimensions, their sizes
    shape = np.frombuffer(content, dtype=">u4", count=dimensions, offset=4).astype(int)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


def _last_reason(error: BaseException) -> str:
    """What the last mirror said, in one line."""
    return str(error).strip().splitlines()[-1]
