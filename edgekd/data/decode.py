"""Many image files as one array that is decoded where it is read, by several threads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.data.image_files import ImageFiles
from edgekd.data.modalities.image.inputs import FORMATS, decoded, in_channels
from edgekd.errors import ConfigError
from edgekd.progress import Advance

Color = Literal["auto", "gray", "rgb"]
CHUNK = 64  # images between two looks at whether colour was found
PARTS = 8  # that each thread takes one after the other: so many that all end at about the same time
COLOURLESS = frozenset({"1", "L", "LA", "I;16"})  # modes of Pillow
FILTER = "bilinear"  # that images are scaled with: a word of RESIZES


@dataclass(frozen=True)
class Form:
    """What all images are alike in. `scaled`: they are brought to the size, else those that differ from `first`, the
    image whose size it is, are refused."""

    height: int
    width: int
    channels: Literal[1, 3]
    scaled: bool
    first: str


def form_of(
    files: ImageFiles, names: Sequence[str], *, size: tuple[int, int] | None, color: Color, advance: Advance
) -> Form:
    """size: (height, width) that every image is scaled to; without it all must have the first one's. With `auto` they
    get one channel when no image has any colour, for which all are looked at until one has.

    Raises:
        ConfigError: a file is no readable image.
    """
    height, width = size or _read(files, names[0]).shape[:2]
    coloured = color == "rgb" or (color == "auto" and _any_colour(files, names, advance))
    return Form(height, width, 3 if coloured else 1, scaled=size is not None, first=names[0])


class DecodedImages:
    """uint8 (N, H, W, C) in the order of `names`, never in memory whole.

    Raises:
        ConfigError: on reading: a file is no readable image, or its size differs; the first such file is named.
    """

    def __init__(self, files: ImageFiles, names: Sequence[str], form: Form) -> None:
        self.files, self.names, self.form = files, names, form
        self.shape: tuple[int, ...] = (len(names), form.height, form.width, form.channels)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[np.uint8]:
        wanted = np.arange(len(self))[rows]
        images = np.empty((len(wanted), *self.shape[1:]), dtype=np.uint8)

        threads = os.cpu_count() or 1
        part = max(1, len(wanted) // (threads * PARTS))

        def fill(start: int) -> None:
            for place, row in enumerate(wanted[start : start + part].tolist(), start):
                images[place] = self._decode(self.names[row])

        with ThreadPoolExecutor(threads) as pool:
            try:
                list(pool.map(fill, range(0, len(wanted), part)))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them, in memory."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def _decode(self, name: str) -> NDArray[np.uint8]:
        form = self.form
        size = (form.height, form.width)
        pixels = in_channels(_read(self.files, name), form.channels)
        if form.scaled:
            return scaled(pixels, *size)
        if pixels.shape[:2] != size:
            raise ConfigError(
                f"{name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, {form.first} has {size[1]} x {size[0]}",
                hint=f"`size: {min(size)}` scales every image to that height and width",
            )
        return pixels


def _any_colour(files: ImageFiles, names: Sequence[str], advance: Advance) -> bool:
    def has_colour(name: str) -> bool:
        if _known_grey(files, name):
            return False
        pixels = _read(files, name)
        return bool((pixels != pixels[..., :1]).any())

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            if any(list(pool.map(has_colour, some))):
                return True
            advance(len(some))
    return False


def _known_grey(files: ImageFiles, name: str) -> bool:
    """Whether the file's header says so, which takes a fraction of the time of its pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(files.read(name)), formats=FORMATS) as image:
            return image.mode in COLOURLESS
    except Exception:  # noqa: BLE001 - decoders raise anything; what is wrong is told when the pixels are read
        return False


def _read(files: ImageFiles, name: str) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3).

    Raises:
        ConfigError: it cannot be read, or its pixels cannot be told exactly.
    """
    try:
        return decoded(files.read(name))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"{name} cannot be read: {reason}", hint="replace the file, or remove it") from error


def scaled(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """What `resized` makes, which devices scale with: the same to the bit, in a third of the time, of many images."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    for size in ((width, image.height), (width, height)):  # in one go it begins with the axis that is quicker
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, -1)
