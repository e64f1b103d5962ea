"""Many image files as one array that is decoded where it is read, by several threads."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.data.image_files import ImageFiles
from edgekd.data.modalities.image import upright
from edgekd.errors import ConfigError
from edgekd.progress import Advance

if TYPE_CHECKING:
    import PIL.Image

Color = Literal["auto", "gray", "rgb"]
CHUNK = 64  # images between two looks at whether colour was found
PARTS = 8  # that each thread takes one after the other: so many that all end at about the same time
COLOURLESS = frozenset({"1", "L", "LA", "I;16"})  # modes of Pillow, which it knows without decoding the pixels


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
    if size is None:
        with _opened(files, names[0]) as image:
            height, width = _pixels(image, None, 1).shape[:2]
    else:
        height, width = size
    coloured = color == "rgb" or (color == "auto" and _any_colour(files, names, size, advance))
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
        with _opened(self.files, name) as image:
            pixels = _pixels(image, size if form.scaled else None, form.channels)
        if pixels.shape[:2] != size:
            raise ConfigError(
                f"{name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, {form.first} has {size[1]} x {size[0]}",
                hint=f"`size: {min(size)}` scales every image to that height and width",
            )
        return pixels


def _any_colour(files: ImageFiles, names: Sequence[str], size: tuple[int, int] | None, advance: Advance) -> bool:
    def has_colour(name: str) -> bool:
        with _opened(files, name) as image:
            if image.mode in COLOURLESS:
                return False
            pixels = _pixels(image, size, 3)
        return bool((pixels != pixels[..., :1]).any())

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            if any(list(pool.map(has_colour, some))):
                return True
            advance(len(some))
    return False


@contextmanager
def _opened(files: ImageFiles, name: str) -> Iterator[PIL.Image.Image]:
    """The image, whose pixels are decoded when they are asked for; what fails meanwhile names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            yield image
    except UnidentifiedImageError:
        raise ConfigError(f"{name} is not an image", hint="remove or replace the file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what PIL's decoders raise
        raise ConfigError(f"{name} cannot be read: {error}", hint="remove or replace the file") from error


def _pixels(image: PIL.Image.Image, size: tuple[int, int] | None, channels: int) -> NDArray[np.uint8]:
    """uint8 (H, W, C)."""
    from PIL import Image

    plain = upright(image).convert("L" if channels == 1 else "RGB")
    if size is not None and plain.size != (size[1], size[0]):
        plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(plain)
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
