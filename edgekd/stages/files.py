"""How stages write what they pass on: splits as .npz, records as .json."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekd.data.samples import Split
from edgekd.progress import Advance
from edgekd.records.arrays import Parts, StoredArray, load_arrays, save_arrays
from edgekd.records.base import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)

IN_MEMORY_BYTES = 2**30  # two splits of this size and a training fit into the memory of a small machine
WRITTEN_BYTES = 2**25  # of samples that are in memory while a split is written
WRITTEN_ROWS = 1024  # at most, so that progress is seen


def save_split(path: Path, split: Split, rows: NDArray[np.int64], advance: Advance) -> None:
    """Writes those rows of a split, in their order; never are more than a few in memory."""
    samples = split.samples
    shape = (len(rows), *samples.shape[1:])
    few = max(1, min(WRITTEN_ROWS, WRITTEN_BYTES // (samples.dtype.itemsize * math.prod(shape[1:]))))

    def parts() -> Iterator[NDArray[Any]]:
        for start in range(0, len(rows), few):
            some = rows[start : start + few]
            yield samples[some]
            advance(len(some))

    save_arrays(path, {"samples": Parts(shape, samples.dtype, parts()), "labels": split.labels[rows]})


def load_split(path: Path) -> Split:
    """What `save_split` wrote; of a large file the samples stay there, and are read when they are asked for."""
    if path.stat().st_size <= IN_MEMORY_BYTES:
        arrays = load_arrays(path)
        return Split(arrays["samples"], arrays["labels"].astype(np.int64, copy=False))
    return Split(StoredArray(path, "samples"), StoredArray(path, "labels")[:])


def save_record(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(indent=1), encoding="utf-8")


def load_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    return kind.model_validate_json(path.read_bytes())
