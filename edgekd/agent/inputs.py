"""What a model is fed: the rows of a file of the user's, or inputs made from the model's signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .report import Refusal

INPUT_ROWS = 64  # rows of a given input that are cycled through
NUMPY_TYPES = {
    "float": "float32", "double": "float64", "float16": "float16", "int8": "int8", "uint8": "uint8",
    "int16": "int16", "uint16": "uint16", "int32": "int32", "uint32": "uint32", "int64": "int64",
    "uint64": "uint64", "bool": "bool",
}  # fmt: skip


def input_rows(session: Any, model: dict[str, Any]) -> list[dict[str, Any]]:
    """The feeds to cycle through: the rows of a given file, or one made from the signature."""
    wanted = {each.name: _numpy_type(each) for each in session.get_inputs()}
    given = {} if model["inputs"] is None else given_arrays(Path(model["inputs"]), list(wanted))
    known = {name: list(stored.shape[1:]) for name, stored in given.items()}
    shapes = {each.name: run_shape(each, model["shapes"], known.get(each.name)) for each in session.get_inputs()}
    if model["inputs"] is None:
        generator = np.random.default_rng(0)
        return [{name: _made(generator, shapes[name], wanted[name]) for name in wanted}]
    feeds: list[dict[str, Any]] = []
    for name, stored in given.items():
        shape, batch = shapes[name], (shapes[name] or (1,))[0]
        if stored.dtype != wanted[name]:
            raise Refusal("input", f"input {name!r} takes {wanted[name]}, the file holds {stored.dtype}")
        fits = stored.ndim == len(shape) and all(
            have == want or (position == 0 and have >= want)
            for position, (have, want) in enumerate(zip(stored.shape, shape, strict=True))
        )
        if not fits:
            rows_wanted = ["N", *shape[1:]] if shape else []
            raise Refusal("input", f"input {name!r} takes {rows_wanted}, the file holds {list(stored.shape)}")
        rows = [stored] if not shape else [
            stored[n * batch : (n + 1) * batch] for n in range(min(len(stored) // batch, INPUT_ROWS))
        ]  # fmt: skip
        feeds = feeds or [{} for _ in rows]
        for feed, row in zip(feeds, rows, strict=False):
            feed[name] = np.ascontiguousarray(row)
    return [feed for feed in feeds if len(feed) == len(wanted)]


def given_arrays(path: Path, names: list[str]) -> dict[str, Any]:
    """The arrays of an input file by the model's input names: an .npz has them under these, and maybe others that other
    models read; an .npy is for a model with one input, whatever its name.

    Raises:
        Refusal: the file cannot be read, or is for other inputs.
    """
    try:
        stored = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        arrays = {names[0]: stored} if path.suffix == ".npy" else {key: stored[key] for key in stored.files}
    except Exception as error:  # archives that are encrypted or damaged, and headers that lie, raise anything
        raise Refusal("input", f"{path.name} is no .npy or .npz file") from error
    if not set(arrays) >= set(names):
        held = "one array without a name" if path.suffix == ".npy" else f"{sorted(arrays)}"
        raise Refusal("input", f"the model takes {sorted(names)}, the file holds {held}")
    return {name: arrays[name] for name in names}


def _numpy_type(each: Any) -> str:
    element = each.type.removeprefix("tensor(").removesuffix(")")
    if element not in NUMPY_TYPES:
        raise Refusal("input", f"input {each.name!r} is a {each.type}, which cannot be fed")
    return NUMPY_TYPES[element]


def run_shape(each: Any, given: dict[str, list[int]], sample: list[int] | None = None) -> tuple[int, ...]:
    """The shape to run with: the user's, else the signature's with a free first dimension taken as 1, and others as
    those of the sample that is fed."""
    if each.name in given:
        shape = tuple(given[each.name])
        if len(shape) != len(each.shape) or any(
            isinstance(fixed, int) and fixed != chosen for fixed, chosen in zip(each.shape, shape, strict=True)
        ):
            raise Refusal("shape", f"input {each.name!r} takes {each.shape}, not {list(shape)}")
        return shape
    if sample is not None and len(sample) == len(each.shape) - 1:
        free = [size if isinstance(size, int) else have for size, have in zip(each.shape[1:], sample, strict=True)]
        return (each.shape[0] if isinstance(each.shape[0], int) else 1, *free)
    if any(not isinstance(size, int) for size in each.shape[1:]):
        raise Refusal("shape", f"input {each.name!r} has the free shape {each.shape} and no shape is given for it")
    return tuple(size if isinstance(size, int) else 1 for size in each.shape)


def _made(generator: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    """Plausible content: normal floats, random pixels, and 0 for every index, which is always in range."""
    if dtype.startswith("float"):
        return generator.standard_normal(shape).astype(dtype)
    if dtype in ("uint8", "int8"):
        return generator.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)
    return np.zeros(shape, dtype)
