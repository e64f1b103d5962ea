"""Raw samples, and the program that makes a model's input of them: the one that ships with the model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import numpy as np

from .inputs import INPUT_ROWS
from .report import Refusal


def raw_samples(path: Path) -> list[Any]:
    """The samples of a .npy file (N, ...), each by itself (1, ...), as many as are cycled through.

    Raises:
        Refusal: there are none.
    """
    try:
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # headers that lie or are damaged raise anything
        raise Refusal("input", f"{path.name} is no .npy file") from error
    if samples.ndim == 0 or len(samples) == 0:
        raise Refusal("input", f"{path.name} holds no samples")
    return [np.array(samples[row : row + 1]) for row in range(min(len(samples), INPUT_ROWS))]


def preparation(preprocess: dict[str, Any], names: list[str]) -> Callable[[Any], dict[str, Any]]:
    """The function from a raw sample (1, ...) to what the model, whose inputs have these names, is fed."""
    feed, specs = _feed_of(preprocess["program"]), preprocess["specs"]

    def prepare(sample: Any) -> dict[str, Any]:
        arrays = feed(sample, specs)
        # a model with one input may call it otherwise
        return {names[0]: next(iter(arrays.values()))} if len(arrays) == len(names) == 1 else arrays

    return prepare


def prepared(prepare: Callable[[Any], dict[str, Any]], sample: Any) -> dict[str, Any]:
    """The first sample's feed, before anything is timed.

    Raises:
        Refusal: the program fails on it.
    """
    try:
        return {name: np.ascontiguousarray(array) for name, array in prepare(sample).items()}
    except Exception as error:
        raise Refusal("preprocess", _line(error)) from error


def _feed_of(program: str) -> Any:
    """The function `feed` of a Python file."""
    loader = SourceFileLoader("preprocessing", program)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing is left beside a file of the host's
    try:
        loader.exec_module(module)
        return module.feed
    except Exception as error:
        raise Refusal("preprocess", _line(error)) from error
    finally:
        sys.dont_write_bytecode = writes


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
