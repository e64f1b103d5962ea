"""Images on a device, and in training too: reads picture files and makes a model's input of pixels.

This one file does it everywhere; a bundle has it as `inputs.py`. Beside numpy it needs nothing to be imported, and
Python 3.9 runs it. Pillow only unpacks files where it is there; what pixels mean is decided here.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import PIL.Image
    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds, Spec

RULES = {"orientation": "exif", "depth": "highest 8 bits", "alpha": "over white", "grey": "bt601"}
"""How a picture file becomes pixels, in every contract: turned as its EXIF orientation says; of deeper samples the
highest 8 bits; laid over white where it is transparent; grey of colour is the luma of ITU-R BT.601. Then `resize`, one
of RESIZES."""
RESIZES = ("none", "bilinear")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
ORIENTATION = 0x0112  # tag of EXIF and TIFF
BITS, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT = 258, 262, 284, 339  # tags of TIFF
WEIGHT_BITS = 22  # of a fixed-point weight
UNKNOWABLE = {
    "CMYK": "its inks have no certain colours: save it as RGB",
    "LAB": "its colours are CIELAB: save it as RGB",
    "YCbCr": "its colours are YCbCr: save it as RGB",
    "I": "its samples are 32-bit or signed numbers, and nothing says which of them is white: save it with 8 or 16 bits",
    "F": "its samples are floats, and nothing says which of them is white: save it with 8 or 16 bits",
}
"""Modes of Pillow whose pixels it would clip or guess."""


def is_raw(spec: Spec) -> bool:
    return bool(spec.get("dtype") == "uint8")


def size_of(spec: Spec) -> tuple[int, int, int]:
    """Channels, height and width."""
    first, second, third = spec["shape"]
    last = is_raw(spec) and len(spec["preprocessing"]["mean"]) > 1
    return (third, first, second) if last else (first, second, third)


def feed(samples: NDArray[np.uint8], specs: Sequence[Spec]) -> Feeds:
    """(pixel / 255 - mean) / std as float32 (N, C, H, W), or the pixels as they are, uint8 in the shape of the input;
    samples: uint8 (N, H, W, C)."""
    (spec,) = specs
    if is_raw(spec):
        return {spec["name"]: samples.reshape(len(samples), *spec["shape"])}
    mean, std = spec["preprocessing"]["mean"], spec["preprocessing"]["std"]
    count, height, width, channels = samples.shape
    inputs = np.empty((count, channels, height, width), dtype=np.float32)
    for channel in range(channels):
        inputs[:, channel] = _table(mean[channel], std[channel])[samples[..., channel]]
    return {spec["name"]: inputs}


@functools.lru_cache(maxsize=64)
def _table(mean: float, std: float) -> NDArray[np.float32]:
    """What each value of a pixel becomes: float32 (256,)."""
    return ((np.arange(256) / 255.0 - mean) / std).astype(np.float32)


def read(path: Path, specs: Sequence[Spec]) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C) in the size and channels of the input, by the rules of its preprocessing: a picture, or all of
    an .npy file (H, W), (H, W, C) or (N, H, W, C).

    .npy and binary PGM and PPM are read without Pillow.

    Raises:
        OSError, ValueError: it cannot be read, its pixels cannot be told exactly, or it has another size and the
            training images were not scaled.
    """
    channels, height, width = size_of(specs[0])
    resize = resize_of(specs[0]["preprocessing"])
    pixels = in_channels(_pixels_in(path, "alpha" in specs[0]["preprocessing"]), channels)
    if resize == "none" and pixels.shape[1:3] != (height, width):
        raise ValueError(
            f"{path}: the image is {pixels.shape[2]}x{pixels.shape[1]}, the model takes {width}x{height}; "
            "resize it as the training images were"
        )
    return resized(pixels, height, width)


def decoded(content: bytes, *, over_white: bool = True) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3) of a picture file, by RULES: exactly, or not at all. over_white: without it, for contracts
    of before there were RULES, what is transparent is refused.

    Raises:
        ValueError: it is no picture, is damaged, or its pixels cannot be told exactly; the message is one line.
    """
    kind = content[:2]
    if kind in (b"P5", b"P6"):
        return _netpbm(content)
    if kind == b"P3" and _netpbm_header(content)[2] > 255:  # of which Pillow would round instead of cutting
        raise ValueError("it is text and of more than 255 levels: save it as binary PPM")
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ValueError(
            "such a file needs Pillow (python3 -m pip install pillow); .npy and binary .pgm and .ppm are read without"
        ) from None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # the orientation last: TIFF has none left once Pillow has turned it while decoding
            return _upright(_without_alpha(_unpacked(image), over_white), image.getexif().get(ORIENTATION))
    except UnidentifiedImageError:
        raise ValueError(f"not an image of the kinds {', '.join(FORMATS)}") from None
    except Exception as error:  # decoders raise anything on damaged files
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def in_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 (..., C) of uint8 (..., 1 or 3): luma, or grey repeated."""
    if pixels.shape[-1] == channels:
        return pixels
    return _grey(pixels) if channels == 1 else np.repeat(pixels, 3, axis=-1)


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 (..., height, width, C) of uint8 (..., H, W, C), by a bilinear filter.

    Along an axis a pixel is the weighted mean of those around its centre; weights fall linearly to 0 at a distance of
    one pixel of the larger scale, so that nothing is left out when images shrink. First along rows, then along columns,
    each rounded to 8 bits.

    Source: Pillow's `Resample.c` for 8 bits a channel, which each axis equals to the bit, so that the images of
    training can be scaled by it: double weights, brought to 22-bit integers.
    """
    return _resampled(_resampled(pixels, width, -2), height, -3)


def resize_of(preprocessing: Mapping[str, Any]) -> str:
    """How images of another size are scaled.

    Raises:
        ValueError: the contract names a rule that this program does not know.
    """
    resize = preprocessing.get("resize", "none")
    unknown = [rule for rule, way in RULES.items() if preprocessing.get(rule, way) != way]
    if unknown or resize not in RESIZES:
        rule = (*unknown, "resize")[0]
        raise ValueError(f"the contract says {rule}: {preprocessing[rule]!r}, which this program does not know")
    return str(resize)


def _pixels_in(path: Path, over_white: bool) -> NDArray[np.uint8]:
    """uint8 (N, H, W, 1 or 3)."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.suffix != ".npy":
            return decoded(path.read_bytes(), over_white=over_white)[np.newaxis]
        pixels = _read_npy(path)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    found = f"{pixels.dtype} {pixels.shape}"
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim == 3:
        pixels = pixels[np.newaxis]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"{path}: expected uint8 pixels (H, W) or (H, W, 1 or 3), found {found}")
    return pixels


def _read_npy(path: Path) -> NDArray[Any]:
    """
    Raises:
        ValueError: it is none; mapped, so that a shape that the file does not hold asks for no memory.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy's reader raise anything
        raise ValueError(" ".join(str(error).split()) or "not an .npy file") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("not an .npy file")
    return np.array(array)


def _netpbm(content: bytes) -> NDArray[np.uint8]:
    """Binary PGM (P5) or PPM (P6): uint8 (H, W, 1 or 3), of up to 65,535 levels.

    Samples of 65,535 levels keep their highest 8 bits, as in every format; others but 255 become round(255 v / levels).

    Raises:
        ValueError: it is none, or cut short.
    """
    width, height, levels, at = _netpbm_header(content)
    if not (width and height and 0 < levels < 2**16):
        raise ValueError(f"{width} x {height} pixels of {levels} levels")
    shape = (height, width, 1 if content[:2] == b"P5" else 3)
    kind = np.dtype(">u2" if levels > 255 else "u1")
    if len(content) - at < height * width * shape[2] * kind.itemsize:
        raise ValueError("the file is cut short")
    samples = np.frombuffer(content, kind, height * width * shape[2], at).reshape(shape)
    if samples.max() > levels:
        raise ValueError(f"a sample of {samples.max()}, and the file says {levels} levels")
    if levels == 2**16 - 1:
        return (samples >> 8).astype(np.uint8)
    return samples if levels == 255 else ((samples.astype(np.int64) * 510 + levels) // (2 * levels)).astype(np.uint8)


def _netpbm_header(content: bytes) -> tuple[int, int, int, int]:
    """Width, height and levels, and where the samples begin.

    Raises:
        ValueError: they are not there.
    """
    fields: list[bytes] = []
    at = 0
    while len(fields) < 4 and at < len(content):
        if content[at : at + 1] == b"#":
            at = content.find(b"\n", at) + 1 or len(content)
        elif content[at : at + 1].isspace():
            at += 1
        else:
            start = at
            while at < len(content) and not content[at : at + 1].isspace():
                at += 1
            fields.append(content[start:at])
    if len(fields) < 4 or len(fields[0]) != 2 or not all(each.isdigit() and len(each) < 10 for each in fields[1:]):
        raise ValueError("not a binary PGM or PPM")
    width, height, levels = (int(each) for each in fields[1:])
    return width, height, levels, at + 1


def _unpacked(image: PIL.Image.Image) -> NDArray[np.uint8]:
    """uint8 (H, W, C) of an opened file; C: grey, grey and alpha, colour, colour and alpha.

    Raises:
        ValueError: its pixels cannot be told exactly.
    """
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a phone's JPEG, with a preview behind the picture
        raise ValueError(f"it holds {frames} pictures: save the one that is meant")
    image.load()
    mode, clear = image.mode, image.info.get("transparency")
    tags = getattr(image, "tag_v2", {})
    if mode in UNKNOWABLE:
        raise ValueError(f"{UNKNOWABLE[mode]} (mode {mode})")
    if (np.atleast_1d(tags.get(SAMPLE_FORMAT, 1)) != 1).any():
        raise ValueError("its samples are signed numbers: save it with unsigned ones")
    if tags.get(PLANAR) == 2 and max(np.atleast_1d(tags.get(BITS, 1))) > 8:  # Pillow would mix up their bytes
        raise ValueError("its 16-bit channels lie apart: save it with the channels of a pixel side by side")
    if mode in ("P", "PA"):
        has_alpha = mode == "PA" or clear is not None or (image.palette is not None and image.palette.mode != "RGB")
        return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    pixels = np.asarray(image)
    if mode.startswith("I;16"):
        if tags.get(PHOTOMETRIC) == 0:
            raise ValueError("its 16-bit samples count from white to black: save it from black to white")
        pixels = pixels >> (int(np.atleast_1d(tags.get(BITS, 16))[0]) - 8)  # Pillow would clip them to 255
    elif mode == "1":
        pixels = pixels * np.uint8(255)
    elif mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"pixels of mode {mode} are not known here: save it as RGB")
    pixels = pixels.astype(np.uint8, copy=False)
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if clear is None or mode in ("LA", "RGBA"):
        return pixels
    if mode == "L" and image.format == "GIF":  # whose grey palette Pillow has left out
        return np.concatenate([pixels, np.where(pixels == clear, 0, 255).astype(np.uint8)], axis=2)
    raise ValueError("one of its colours stands for transparent: save it with an alpha channel, or without")


def _without_alpha(pixels: NDArray[np.uint8], over_white: bool) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3): a colour c of opacity a becomes c a + 255 (255 - a), over 255 and rounded.

    Raises:
        ValueError: something is transparent, and nothing says what is behind it.
    """
    if pixels.shape[2] in (1, 3):
        return pixels
    if not over_white and (pixels[..., -1] < 255).any():
        raise ValueError("it is transparent, and the model's contract does not say what is behind it")
    colour, alpha = pixels[..., :-1], pixels[..., -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _upright(pixels: NDArray[np.uint8], orientation: Any) -> NDArray[np.uint8]:
    """As the camera was held; orientation: EXIF's number, of which 0 and what EXIF does not know mean 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down = orientation in (3, 4, 7, 8)
    left = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if down else 1, :: -1 if left else 1])


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601 in the integers that Pillow uses."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[..., np.newaxis]


def _resampled(pixels: NDArray[np.uint8], size: int, axis: int) -> NDArray[np.uint8]:
    """`pixels` with `size` places along an axis, -2 for columns or -3 for rows."""
    found = pixels.shape[axis]
    if found == size:
        return pixels
    first, weights = _weights(found, size)
    shape = list(pixels.shape)
    shape[axis] = size
    total = np.full(shape, 1 << (WEIGHT_BITS - 1), np.int32)  # a half, so that shifting rounds
    for place, weight in enumerate(weights):
        at = np.minimum(first + place, found - 1)  # beyond the last one weights are 0
        total += np.take(pixels, at, axis=axis) * weight.reshape(-1, *[1] * (-axis - 1))
    made: NDArray[np.uint8] = np.minimum(total >> WEIGHT_BITS, 255).astype(np.uint8)
    return made


@functools.lru_cache(maxsize=64)
def _weights(found: int, wanted: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Of `wanted` places made of `found` ones: the first that each is made of, and the weights from there on, int32
    (places, wanted), in units of 2**-22."""
    scale = found / wanted
    reach = max(scale, 1.0)
    centres = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + reach + 0.5).astype(np.int64), found)
    at = first + np.arange((end - first).max())[:, np.newaxis]
    shares = np.where(at < end, np.maximum(1.0 - np.abs((at - centres + 0.5) * (1.0 / reach)), 0.0), 0.0)
    total = np.add.accumulate(shares, axis=0)[-1]  # one after the other, as in C: the last bit counts
    return first, (0.5 + shares / total * (1 << WEIGHT_BITS)).astype(np.int32)
