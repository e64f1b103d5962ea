"""What a user brings to try a model on: ready inputs in an .npy or .npz file, or images."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekd.data.decode import DecodedImages, form_of
from edgekd.data.image_files import open_files
from edgekd.data.image_folder import image_entries
from edgekd.data.modalities.base import FedRows, fed_rows
from edgekd.data.samples import Rows
from edgekd.errors import ConfigError
from edgekd.progress import Progress
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.model import TensorSignature

if TYPE_CHECKING:
    from edgekd.data.decode import Color

MEANS = {1: (0.5,), 3: (0.485, 0.456, 0.406)}
STDS = {1: (0.5,), 3: (0.229, 0.224, 0.225)}
"""Of ImageNet's colour images, which most models for photographs are trained with; of grey ones the middle."""


@dataclass(frozen=True)
class ImageOptions:
    """How images become input, (pixel / 255 - mean) / std. size: height and width; None where the model says it."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None

    @property
    def given(self) -> bool:
        return self != ImageOptions()


@dataclass(frozen=True)
class ModelInputs:
    """feeds: by input name. folders: of images, the class folder of each and "" for none; None for arrays. told: what
    was assumed, in words."""

    feeds: FedRows
    folders: tuple[str, ...] | None
    told: tuple[str, ...]

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))


def read_inputs(path: Path, inputs: Sequence[TensorSignature], images: ImageOptions, progress: Progress) -> ModelInputs:
    """
    Raises:
        ConfigError: it cannot be read, or does not fit the inputs.
    """
    if path.is_dir() or path.suffix == ".tar":
        if not path.exists():
            raise ConfigError(f"no such file: {path}")
        return _images(path, inputs, images, progress)
    if images.given:
        raise ConfigError(f"{path}: --mean, --std and --size are for images", hint="arrays are fed as they are")
    feeds = {each.name: _fitting(array, each, path) for each, array in _arrays(path, inputs)}
    counts = {name: len(rows) for name, rows in feeds.items()}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ConfigError(f"{path}: its arrays have different numbers of samples: {told}")
    return ModelInputs(feeds, None, ())


def read_labels(path: Path, samples: int, classes: int) -> NDArray[np.int64]:
    """The class of each sample, from an .npy file.

    Raises:
        ConfigError: it cannot be read, or does not fit.
    """
    labels = _load(path)
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ConfigError(f"{path}: expected an .npy file of whole numbers (N,)")
    if len(labels) != samples:
        raise ConfigError(f"{path}: {len(labels)} labels for {samples} samples")
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigError(
            f"{path}: labels go from {labels.min()} to {labels.max()}, the model has classes 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


def labels_of_folders(folders: Sequence[str], classes: int) -> tuple[NDArray[np.int64] | None, str]:
    """The class of each image by its folder, and in words how it was found: folders that are numbers say it, else they
    stand in the order of their names. None where that cannot be."""
    names = sorted(set(folders))
    if "" in names:
        return None, "images in no class folder: no labels"
    if all(name.isdecimal() and int(name) < classes for name in names):
        return np.array([int(name) for name in folders], np.int64), "labels: folders by their number"
    if len(names) == classes:
        places = {name: place for place, name in enumerate(names)}
        return np.array([places[name] for name in folders], np.int64), "labels: folders in the order of their names"
    return None, f"{len(names)} class folders, and the model has {classes} classes: no labels"


def _arrays(path: Path, inputs: Sequence[TensorSignature]) -> list[tuple[TensorSignature, NDArray[Any]]]:
    stored = _load(path)
    if isinstance(stored, np.ndarray):
        if len(inputs) > 1:
            names = ", ".join(each.name for each in inputs)
            raise ConfigError(
                f"{path}: the model has the inputs {names}", hint="give an .npz with an array of each name"
            )
        return [(inputs[0], stored)]
    missing = [each.name for each in inputs if each.name not in stored]
    if missing:
        raise ConfigError(f"{path}: no array is called {missing[0]!r}", hint=f"it has {', '.join(stored)}")
    return [(each, stored[each.name]) for each in inputs]


def _load(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    if path.suffix not in (".npy", ".npz"):
        raise ConfigError(f"{path}: expected .npy, .npz, or a folder or .tar of images")
    try:
        found = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise ConfigError(f"no such file: {path}") from None
    except Exception as error:  # a damaged header makes numpy's reader raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{path} cannot be read: {reason}") from error


def _fitting(array: NDArray[Any], wanted: TensorSignature, path: Path) -> NDArray[Any]:
    """The array in the type of the input; numbers keep their kind and their value."""
    shape = ["N", *wanted.shape[1:]]
    fits = (
        len(wanted.shape) > 0
        and array.ndim == len(wanted.shape)
        and all(
            not isinstance(want, int) or want == have
            for want, have in zip(wanted.shape[1:], array.shape[1:], strict=True)
        )
    )
    if not fits or not len(array):
        told = ", ".join(map(str, shape)) if wanted.shape else ""
        raise ConfigError(f"{path}: input {wanted.name!r} takes ({told}), the file holds {array.shape}")
    dtype = np.dtype(wanted.dtype)
    if array.dtype == dtype:
        return array
    same_kind = array.dtype.kind == dtype.kind or {array.dtype.kind, dtype.kind} <= set("iu")
    if not same_kind or (dtype.kind in "iu" and not np.array_equal(array, array.astype(dtype))):
        raise ConfigError(
            f"{path}: input {wanted.name!r} takes {dtype}, the file holds {array.dtype}",
            hint="it must hold inputs as the model takes them, preprocessed",
        )
    return array.astype(dtype)


def _images(path: Path, inputs: Sequence[TensorSignature], options: ImageOptions, progress: Progress) -> ModelInputs:
    if importlib.util.find_spec("PIL") is None:
        raise ConfigError(f"{path}: reading images needs Pillow", hint="pip install pillow, or give an .npy file")
    frame = _frame_of(inputs, path)
    files = open_files(path)
    entries = image_entries(files.names, path)
    names = [entry.name for entry in entries]
    if frame.size is not None and options.size is not None and options.size != frame.size:
        raise ConfigError(f"--size {_by(options.size)}: the model takes {_by(frame.size)}")
    color: Color = "gray" if frame.channels == 1 else "rgb"
    with progress.task("images", len(names)) as advance:
        form = form_of(files, names, size=frame.size or options.size, color=color, advance=advance)
    mean, std = options.mean or MEANS[frame.channels], options.std or STDS[frame.channels]
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) not in (1, frame.channels):
            raise ConfigError(f"{option}: {len(values)} numbers for {frame.channels} channels")
    mean, std = (each * frame.channels if len(each) == 1 else each for each in (mean, std))
    spec = InputSpec(
        name=inputs[0].name,
        shape=(frame.channels, form.height, form.width),
        preprocessing={"mean": list(mean), "std": list(std)},
    )
    contract = ModelContract(modality="image", inputs=(spec,), classes=("0", "1"))
    rows = fed_rows(contract, DecodedImages(files, names, form))[spec.name]
    told = (
        f"images: {_by((form.height, form.width))}{' (scaled to it)' if form.scaled else ''}, "
        f"(pixel / 255 - mean) / std with mean {_listed(mean)}{'' if options.mean else ' (default)'}, "
        f"std {_listed(std)}{'' if options.std else ' (default)'}"
    )
    feeds = {spec.name: _ChannelsLast(rows) if frame.channels_last else rows}
    return ModelInputs(feeds, tuple(entry.label for entry in entries), (told,))


@dataclass(frozen=True)
class _Frame:
    """Where an image input has what; size: height and width, None where they are free."""

    channels: int
    size: tuple[int, int] | None
    channels_last: bool


def _frame_of(inputs: Sequence[TensorSignature], path: Path) -> _Frame:
    shape = inputs[0].shape
    if len(inputs) == 1 and len(shape) == 4 and inputs[0].dtype == "float32":
        for channels, sides, last in ((shape[1], shape[2:], False), (shape[3], shape[1:3], True)):
            if channels in (1, 3):
                assert isinstance(channels, int)
                height, width = sides
                size = (height, width) if isinstance(height, int) and isinstance(width, int) else None
                return _Frame(channels, size, channels_last=last)
        if not isinstance(shape[1], int) and not isinstance(shape[3], int):
            return _Frame(3, None, channels_last=False)
    told = ", ".join(f"{each.name} {each.dtype} {list(each.shape)}" for each in inputs)
    raise ConfigError(
        f"{path}: the model does not take one image (N, 1 or 3, H, W): {told}",
        hint="give its inputs ready-made, as .npy or .npz",
    )


@dataclass(frozen=True)
class _ChannelsLast:
    """Images (N, C, H, W) as (N, H, W, C)."""

    rows: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        count, channels, height, width = self.rows.shape
        return (count, height, width, channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.rows.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        return np.ascontiguousarray(self.rows[rows].transpose(0, 2, 3, 1))

    def __array__(self) -> NDArray[Any]:
        return self[:]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{each:g}" for each in values)
