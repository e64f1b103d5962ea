"""How stages write what they pass on: splits as .npz, records as .json."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from edgekd.data.samples import Split
from edgekd.records.arrays import load_arrays, save_arrays
from edgekd.records.base import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)


def save_split(path: Path, split: Split) -> None:
    save_arrays(path, {"samples": split.samples, "labels": split.labels})


def load_split(path: Path) -> Split:
    arrays = load_arrays(path)
    return Split(arrays["samples"], arrays["labels"].astype(np.int64, copy=False))


def save_record(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(indent=1), encoding="utf-8")


def load_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    return kind.model_validate_json(path.read_bytes())
