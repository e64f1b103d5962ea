"""Images: uint8 pixels in, each channel brought to zero mean and unit variance.

This one file prepares inputs in training and, as `inputs.py`, on every device: beside numpy it needs nothing to be
imported, and Python 3.9 runs it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import PIL.Image
    from numpy.typing import NDArray

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Feeds, Spec

KEY = "images"
NOUN = "images"
RAW = True
COUNTED_BYTES = 1 << 20  # of pixels whose values are counted in one go
LIMITS = (
    "The accuracy holds for images like the test images; nothing in the model notices an image of another kind, and "
    "each is given one of the classes.",
    "Images must come in the height and width of the input, resized as the training images were.",
)

DRAWN = (
    *("shift_x", "shift_y", "angle", "scale", "shear", "flip", "erase_x", "erase_y"),
    *("crop_x", "crop_y", "noise", "resize_area", "resize_aspect", "resize_x", "resize_y"),
)
"""What the uniform numbers of a view decide, in their order."""


def accepted(samples: Any) -> NDArray[np.uint8]:
    """uint8 (N, H, W, C), C 1 or 3; grey images may also come as (N, H, W).

    Raises:
        ValueError: they are none.
    """
    images = np.asarray(samples)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or images.size == 0:
        found = np.asarray(samples)
        raise ValueError(
            f"{found.dtype} {found.shape} is not an array of images\n"
            "expected uint8 (N, H, W) or (N, H, W, C) with C 1 or 3"
        )
    return images


def specify(samples: Any) -> list[dict[str, Any]]:
    """The one input `image`: float32 (C, H, W), with mean and standard deviation of pixel / 255, by channel.

    Raises:
        ValueError: no images, or a channel that has the same value everywhere.
    """
    _, height, width, channels = accepted(samples[:1]).shape
    # from histograms, of a few images at a time: exact, and all of them may be more than memory holds
    counts = np.zeros((channels, 256), dtype=np.int64)
    few = max(1, COUNTED_BYTES // (height * width * channels))
    for start in range(0, len(samples), few):
        images = accepted(samples[start : start + few])
        counts += np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256) / 255.0
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(axis=1))
    for channel in range(channels):
        if std[channel] < 1e-6:
            raise ValueError(
                f"channel {channel} has the same value in every pixel of every training image\n"
                "check the images; `color: gray` reads colour images as grey"
            )
    preprocessing = {"mean": [round(float(each), 6) for each in mean], "std": [round(float(each), 6) for each in std]}
    shape = [channels, height, width]
    return [{"name": "image", "dtype": "float32", "shape": shape, "preprocessing": preprocessing}]


def raw(specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """Pixels as they lie in memory: uint8 (H, W, C); of grey images (1, H, W), which are the same bytes."""
    (spec,) = specs
    channels, height, width = _size(spec)
    shape = [1, height, width] if channels == 1 else [height, width, channels]
    return [{**spec, "dtype": "uint8", "shape": shape}]


def _is_raw(spec: Spec) -> bool:
    return bool(spec.get("dtype") == "uint8")


def _size(spec: Spec) -> tuple[int, int, int]:
    """Channels, height and width."""
    first, second, third = spec["shape"]
    last = _is_raw(spec) and len(spec["preprocessing"]["mean"]) > 1
    return (third, first, second) if last else (first, second, third)


def feed(samples: NDArray[np.uint8], specs: Sequence[Spec]) -> Feeds:
    """(pixel / 255 - mean) / std as float32 (N, C, H, W), or the pixels as they are, uint8 in the shape of the input;
    samples: uint8 (N, H, W, C)."""
    (spec,) = specs
    if _is_raw(spec):
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
    """uint8 (N, H, W, C) in the size and channels of the input: one image, or all of an .npy file (N, H, W, C).

    .npy, .pgm and .ppm are read without Pillow.

    Raises:
        OSError, ValueError: it cannot be read, or has another size.
    """
    channels, height, width = _size(specs[0])
    pixels = _read_pixels(path)
    found = f"{pixels.dtype} {pixels.shape}"
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim == 3:
        pixels = pixels[np.newaxis]
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3) or len(pixels) == 0:
        raise ValueError(f"{path}: expected uint8 pixels (H, W) or (H, W, 1 or 3), found {found}")
    if pixels.shape[3] != channels:
        pixels = _grey(pixels) if channels == 1 else np.repeat(pixels, 3, axis=3)
    if pixels.shape[1:3] != (height, width):
        raise ValueError(
            f"{path}: the image is {pixels.shape[2]}x{pixels.shape[1]}, the model takes {width}x{height}; "
            "resize it as the training images were"
        )
    return pixels


def upright(image: PIL.Image.Image) -> PIL.Image.Image:
    """A decoded image as it was held when it was taken, with 8 bits a channel."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)  # cameras store how they were held instead of turning the image
    if image.mode.startswith("I;16"):  # Pillow would clip these 16-bit greys to 255 instead of scaling them
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def shifted(
    samples: NDArray[np.uint8], specs: Sequence[Spec], kind: str, amount: float, seed: int
) -> NDArray[np.uint8]:
    """Changed copies; see `image_shift.py`."""
    del specs
    from edgekd.data.modalities import image_shift

    return image_shift.shifted(samples, kind, amount, seed)


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Shifts, rotations and so on of normalised images, as `image_augment` makes them.

    Raises:
        ValueError: an option that images have no use for, or a crop that is too large for them.
    """
    from edgekd.data.modalities.base import asked_for

    used = {"shift", "rotate", "scale", "shear", "resize", "crop", "flip", "noise", "erase"}
    if not asked_for(options, used, NOUN):
        return None
    (spec,) = specs
    _, height, width = spec["shape"]
    if options.crop >= min(height, width):
        raise ValueError(
            f"crop: an image of {width}x{height} cannot be mirrored {options.crop} pixels beyond its edges\n"
            f"at most {min(height, width) - 1}"
        )
    from edgekd.data.modalities.image_augment import ImageAugment

    black = feed(np.zeros((1, 1, 1, spec["shape"][0]), np.uint8), specs)[spec["name"]]
    return ImageAugment(spec["name"], options, black)


def numbers(specs: Sequence[Spec]) -> int:  # noqa: ARG001 - the same for images of every size
    """One for each of DRAWN."""
    return len(DRAWN)


def alternating(options: AugmentOptions) -> Sequence[int]:
    """That of the flip, if it is to alternate."""
    return (DRAWN.index("flip"),) if options.flip == "alternating" else ()


def facts(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Of input and preprocessing."""
    (spec,) = specs
    size = " × ".join(str(each) for each in spec["shape"])
    mean, std = (", ".join(f"{each:g}" for each in spec["preprocessing"][key]) for key in ("mean", "std"))
    layout = "NHWC" if _size(spec) != tuple(spec["shape"]) else "NCHW"
    where = "none: pixels as they are; in the file " if _is_raw(spec) else ""
    return [
        ("input", f"`{spec['name']}`: {spec['dtype']} {layout}, {size}"),
        ("preprocessing", f"{where}(pixel / 255 − mean) / std, mean {mean}, std {std}"),
    ]


def cpp_constants(specs: Sequence[Spec]) -> list[str]:
    """For `image.h`."""
    (spec,) = specs
    channels, height, width = _size(spec)
    mean, std = (", ".join(repr(float(each)) for each in spec["preprocessing"][key]) for key in ("mean", "std"))
    return [
        f"using Element = {'unsigned char' if _is_raw(spec) else 'float'};",
        f"constexpr std::size_t CHANNELS = {channels};",
        f"constexpr std::size_t HEIGHT = {height};",
        f"constexpr std::size_t WIDTH = {width};",
        f"constexpr double MEAN[CHANNELS] = {{{mean}}};",
        f"constexpr double STD[CHANNELS] = {{{std}}};",
    ]


def _read_pixels(path: Path) -> NDArray[Any]:
    try:
        if path.suffix == ".npy":
            return _read_npy(path)
        if path.suffix in (".pgm", ".ppm"):
            return _read_netpbm(path)
        return _read_with_pillow(path)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, SyntaxError, ValueError) as error:  # Pillow's decoders raise SyntaxError
        raise ValueError(f"cannot read {path}: {error}") from error


def _read_npy(path: Path) -> NDArray[Any]:
    array = np.load(path, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("not an .npy file")
    return array


def _read_netpbm(path: Path) -> NDArray[np.uint8]:
    """Binary PGM (P5) or PPM (P6) of one byte a sample."""
    content = path.read_bytes()
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
    if len(fields) < 4 or fields[0] not in (b"P5", b"P6") or fields[3] != b"255":
        raise ValueError("not a binary PGM or PPM with 255 levels")
    width, height, channels = int(fields[1]), int(fields[2]), 1 if fields[0] == b"P5" else 3
    pixels = np.frombuffer(content, np.uint8, offset=at + 1)
    if len(pixels) < width * height * channels:
        raise ValueError("the file is cut short")
    return pixels[: width * height * channels].reshape(height, width, channels)


def _read_with_pillow(path: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            f"reading {path.suffix or 'this file'} needs Pillow (python3 -m pip install pillow); "
            ".npy, .pgm and .ppm are read without"
        ) from None
    try:
        with Image.open(path) as image:
            held = upright(image)
            return np.asarray(held.convert("L" if held.mode in ("1", "L") else "RGB"))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of ITU-R BT.601 in the integers that Pillow uses, so that both ways of reading agree."""
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)[..., np.newaxis]
