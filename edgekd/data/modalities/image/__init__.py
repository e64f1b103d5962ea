"""Images: uint8 pixels in, each channel brought to zero mean and unit variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgekd.data.modalities.image.inputs import RULES, is_raw, resize_of, size_of
from edgekd.data.modalities.image.inputs import feed as feed
from edgekd.data.modalities.image.inputs import read as read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Spec

KEY = "images"
NOUN = "images"
RAW = True
LABELS_HOLD = True
COUNTED_BYTES = 1 << 20  # of pixels whose values are counted in one go
LIMITS = (
    "The accuracy holds for images like the test images; nothing in the model notices an image of another kind, and "
    "each is given one of the classes.",
    "Images of another height and width than the input's are scaled only where the training images were, in the same "
    "way; otherwise they are refused.",
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


def specify(samples: Any, reading: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    """The one input `image`: float32 (C, H, W), with mean and standard deviation of pixel / 255, by channel, and RULES,
    or what `reading` says in their place.

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
    preprocessing: dict[str, Any] = {
        "mean": [round(float(each), 6) for each in mean],
        "std": [round(float(each), 6) for each in std],
        **RULES,
        "resize": "none",
        **reading,
    }
    shape = [channels, height, width]
    return [{"name": "image", "dtype": "float32", "shape": shape, "preprocessing": preprocessing}]


def raw(specs: Sequence[Spec]) -> list[dict[str, Any]]:
    """Pixels as they lie in memory: uint8 (H, W, C); of grey images (1, H, W), which are the same bytes."""
    (spec,) = specs
    channels, height, width = size_of(spec)
    shape = [1, height, width] if channels == 1 else [height, width, channels]
    return [{**spec, "dtype": "uint8", "shape": shape}]


def shifted(
    samples: NDArray[np.uint8], specs: Sequence[Spec], kind: str, amount: float, seed: int
) -> NDArray[np.uint8]:
    """Changed copies; see `shift.py`."""
    del specs
    from edgekd.data.modalities.image import shift

    return shift.shifted(samples, kind, amount, seed)


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Shifts, rotations and so on of normalised images, as `ImageAugment` makes them.

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
    from edgekd.data.modalities.image.augment import ImageAugment

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
    layout = "NHWC" if size_of(spec) != tuple(spec["shape"]) else "NCHW"
    where = "none: pixels as they are; in the file " if is_raw(spec) else ""
    return [
        ("input", f"`{spec['name']}`: {spec['dtype']} {layout}, {size}"),
        ("preprocessing", f"{where}(pixel / 255 − mean) / std, mean {mean}, std {std}"),
        ("picture files", _told(spec)),
    ]


def _told(spec: Spec) -> str:
    """What becomes of a picture file, in words."""
    _, height, width = size_of(spec)
    scaled = {
        "none": f"refused unless of {width} × {height} pixels",
        "bilinear": f"scaled to {width} × {height} pixels by a bilinear filter with antialiasing",
    }
    return (
        "turned by their EXIF orientation, the highest 8 bits of deeper samples, laid over white where transparent, "
        f"grey as BT.601 luma, {scaled[resize_of(spec['preprocessing'])]}"
    )


def cpp_constants(specs: Sequence[Spec]) -> list[str]:
    """For `inputs.h`."""
    (spec,) = specs
    channels, height, width = size_of(spec)
    mean, std = (", ".join(repr(float(each)) for each in spec["preprocessing"][key]) for key in ("mean", "std"))
    return [
        f"using Element = {'unsigned char' if is_raw(spec) else 'float'};",
        f"constexpr std::size_t CHANNELS = {channels};",
        f"constexpr std::size_t HEIGHT = {height};",
        f"constexpr std::size_t WIDTH = {width};",
        f"constexpr bool SCALED = {str(resize_of(spec['preprocessing']) == 'bilinear').lower()};",
        f"constexpr double MEAN[CHANNELS] = {{{mean}}};",
        f"constexpr double STD[CHANNELS] = {{{std}}};",
    ]
