"""Many image files decoded into one array, by several threads."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekd.data.image_files import ImageFiles
from edgekd.data.modalities.image import upright
from edgekd.errors import ConfigError
from edgekd.progress import Advance

Color = Literal["auto", "gray", "rgb"]
CHUNK = 64  # images that one thread takes at a time: small enough to show progress, large enough to be cheap


def decode(
    files: ImageFiles, names: Sequence[str], *, size: tuple[int, int] | None, color: Color, advance: Advance
) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C) in the order of `names`; with `auto`, C is 1 when no image has any colour.

    size: (height, width) that every image is scaled to; without it all must have the first one's.

    Raises:
        ConfigError: a file is no readable image, or its size differs; the first such file is named.
    """
    first = _decode_one(files, names[0], size, color)
    height, width = first.shape[:2]
    images = np.empty((len(names), *first.shape), dtype=np.uint8)

    def fill(start: int) -> bool:
        """Decodes one chunk into its place; whether no image in it has any colour."""
        colourless = True
        for row, name in enumerate(names[start : start + CHUNK], start):
            pixels = _decode_one(files, name, size, color)
            if pixels.shape[:2] != (height, width):
                raise ConfigError(
                    f"{name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, {names[0]} has {width} x {height}",
                    hint=f"`size: {min(height, width)}` scales every image to that height and width",
                )
            images[row] = pixels
            colourless = colourless and bool((pixels == pixels[..., :1]).all())
        return colourless

    grey = True
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        try:
            for start, colourless in zip(
                range(0, len(names), CHUNK), pool.map(fill, range(0, len(names), CHUNK)), strict=True
            ):
                grey = grey and colourless
                advance(min(CHUNK, len(names) - start))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return images[..., :1].copy() if color == "auto" and grey else images


def _decode_one(files: ImageFiles, name: str, size: tuple[int, int] | None, color: Color) -> NDArray[np.uint8]:
    """uint8 (H, W, C): C is 1 for `gray`, else 3."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(files.read(name))) as image:
            plain = upright(image).convert("L" if color == "gray" else "RGB")
            if size is not None and plain.size != (size[1], size[0]):
                plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(plain)
    except UnidentifiedImageError:
        raise ConfigError(f"{name} is not an image", hint="remove or replace the file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what PIL's decoders raise
        raise ConfigError(f"{name} cannot be read: {error}", hint="remove or replace the file") from error
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
