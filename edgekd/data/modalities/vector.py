"""Vectors: rows of numbers, such as the readings of sensors, each feature brought to zero mean and unit variance.

This one file prepares inputs in training and, as `inputs.py`, on every device: beside numpy it needs nothing to be
imported, and Python 3.9 runs it. A feature is known by its place: columns come in the order of training.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from edgekd.config.training import AugmentOptions
    from edgekd.data.modalities.base import Augment, Feeds, Spec

KEY = "features"
NOUN = "rows"
RAW = False
LABELS_HOLD = True
LIMITS = (
    "The accuracy holds for rows like the test rows; nothing in the model notices a row of another kind, and each is "
    "given one of the classes.",
    "Columns are known by their place alone: they must come in the order and units of training, none missing.",
)

FEW = 4096  # rows that are looked at in one go: all of them may be more than memory holds

SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")


def accepted(samples: Any) -> NDArray[np.float32]:
    """float32 (N, F), from any numbers.

    Raises:
        ValueError: they are none, or a value is missing or infinite.
    """
    given = np.asarray(samples)
    if given.dtype.kind not in "fiub" or given.ndim != 2 or given.size == 0:
        raise ValueError(
            f"{given.dtype} {given.shape} is not an array of features\nexpected numbers (N, F): a row for each sample"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        features = np.asarray(given, dtype=np.float32)
    for start in range(0, len(features), FEW):
        for row, column in np.argwhere(~np.isfinite(features[start : start + FEW]))[:1]:
            raise ValueError(
                f"row {start + row}, column {column} is {given[start + row, column]} (both counted from 0)\n"
                "every feature must be a finite number of float32: fill in what is missing, or leave the row out"
            )
    return features


def specify(samples: Any, reading: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    """The one input `features`: float32 (F,), with mean and standard deviation of each feature, and with `reading`.

    A feature that is the same in every training row keeps the standard deviation 1: it tells the model nothing, but
    one dead sensor is no reason to stop.

    Raises:
        ValueError: as `accepted`.
    """
    first = accepted(samples[:1])[0]
    parts = [slice(start, start + FEW) for start in range(0, len(samples), FEW)]
    total, same = np.zeros(len(first)), np.ones(len(first), dtype=bool)
    for each in parts:
        features = accepted(samples[each])
        total += features.sum(axis=0, dtype=np.float64)
        same &= (features == first).all(axis=0)
    mean = total / len(samples)
    std = np.sqrt(sum(((accepted(samples[each]) - mean) ** 2).sum(axis=0) for each in parts) / len(samples))
    std[same] = 1.0  # by comparison: the mean of equal numbers is rounded
    # nine digits: as many as tell float32 numbers apart
    preprocessing = {"mean": [float(f"{each:.9g}") for each in mean], "std": [float(f"{each:.9g}") for each in std]}
    preprocessing |= dict(reading)
    return [{"name": "features", "dtype": "float32", "shape": [len(mean)], "preprocessing": preprocessing}]


def feed(samples: NDArray[np.float32], specs: Sequence[Spec]) -> Feeds:
    """(feature - mean) / std as float32 (N, F); samples: float32 (N, F)."""
    (spec,) = specs
    mean, std = np.array(spec["preprocessing"]["mean"]), np.array(spec["preprocessing"]["std"])
    return {spec["name"]: ((samples - mean) / std).astype(np.float32)}


def read(path: Path, specs: Sequence[Spec]) -> NDArray[np.float32]:
    """float32 (N, F): the row or rows of an .npy file, (F,) or (N, F), or of a text file.

    In text a line is a row, its numbers apart by commas, semicolons or blanks; a first line without any number holds
    the columns' names and is passed over.

    Raises:
        OSError, ValueError: it cannot be read, or has another number of columns, or a value is missing.
    """
    (wanted,) = specs[0]["shape"]
    try:
        rows = _read_npy(path) if path.suffix == ".npy" else _read_text(path, wanted)
    except UnicodeDecodeError:
        raise ValueError(f"cannot read {path}: neither text nor .npy") from None
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != wanted:
        raise ValueError(f"{path}: the array is {rows.shape}, the model takes ({wanted},) or (N, {wanted})")
    try:
        return accepted(rows)
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None


def shifted(
    samples: NDArray[np.float32], specs: Sequence[Spec], kind: str, amount: float, seed: int
) -> NDArray[np.float32]:
    """Copies with Gaussian noise, `amount` times as wide as the features of the training samples.

    Raises:
        ValueError: another kind of change, of which vectors know none.
    """
    if kind != "noise":
        raise ValueError(f"{kind} is for images\nvectors take noise")
    spread = np.array(specs[0]["preprocessing"]["std"], dtype=np.float32)
    drawn = np.random.default_rng(seed).standard_normal(samples.shape, dtype=np.float32)
    changed: NDArray[np.float32] = samples + np.float32(amount) * spread * drawn
    return changed


def augmentation(options: AugmentOptions, specs: Sequence[Spec]) -> Augment | None:
    """Gaussian noise on the standardised features.

    Raises:
        ValueError: an option that features have no use for.
    """
    from edgekd.data.modalities.base import asked_for

    if not asked_for(options, {"noise"}, NOUN):
        return None
    import torch

    from edgekd.data.tensors import moved

    (spec,) = specs

    def augment(inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        """numbers: float64 (N, F) in [0, 1)."""
        features = inputs[spec["name"]]
        inside = np.maximum(numbers, 2.0**-54)  # 0 itself would be infinitely far out
        normal = torch.special.ndtri(torch.from_numpy(inside)).float()
        return {**inputs, spec["name"]: features + options.noise * moved(normal, features.device)}

    return augment


def numbers(specs: Sequence[Spec]) -> int:
    """One for each feature."""
    return int(specs[0]["shape"][0])


def alternating(options: AugmentOptions) -> Sequence[int]:  # noqa: ARG001 - the signature of every kind of input
    """None of them."""
    return ()


def facts(specs: Sequence[Spec]) -> list[tuple[str, str]]:
    """Of input and preprocessing."""
    (spec,) = specs
    return [
        ("input", f"`{spec['name']}`: {spec['dtype']} (N, {spec['shape'][0]}), columns in the order of training"),
        ("preprocessing", "(feature − mean) / std; manifest.json has both for each column"),
    ]


def cpp_constants(specs: Sequence[Spec]) -> list[str]:
    """For `vector.h`."""
    (spec,) = specs
    mean, std = (", ".join(repr(float(each)) for each in spec["preprocessing"][key]) for key in ("mean", "std"))
    return [
        "using Element = float;",
        f"constexpr std::size_t FEATURES = {spec['shape'][0]};",
        f"constexpr double MEAN[FEATURES] = {{{mean}}};",
        f"constexpr double STD[FEATURES] = {{{std}}};",
    ]


def _read_npy(path: Path) -> NDArray[Any]:
    try:  # mapped, so that a shape that the file does not hold asks for no memory
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # a damaged header makes numpy's reader raise anything
        raise ValueError(" ".join(str(error).split()) or "not an .npy file") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("not an .npy file")
    return array[np.newaxis] if array.ndim == 1 else array


def _read_text(path: Path, columns: int) -> NDArray[np.float64]:
    rows: list[list[float]] = []
    for line, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        fields = SEPARATOR.split(text.strip())
        if fields == [""] or (line == 1 and not any(map(_is_number, fields))):
            continue
        for column, field in enumerate(fields):
            if not _is_number(field):
                raise ValueError(f"line {line}, column {column} (counted from 0): {field!r} is no number")
        if len(fields) != columns:
            raise ValueError(f"line {line} holds {len(fields)} numbers, the model takes {columns}")
        rows.append([float(field) for field in fields])
    if not rows:
        raise ValueError("no row of numbers in it")
    return np.array(rows)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
