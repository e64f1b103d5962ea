"""Vectors on a device, and in training too: reads rows of numbers and makes a model's input of them.

This one file does it everywhere; a bundle has it as `inputs.py`. Beside numpy it needs nothing to be imported, and
Python 3.9 runs it. A feature is known by its place: columns come in the order of training.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgekd.data.modalities.base import Feeds, Spec

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
