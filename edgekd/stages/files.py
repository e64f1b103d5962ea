"""How stages write what they pass on: image splits as .npz, records as .json."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from edgekd.data.base import LabelledImages
from edgekd.records.arrays import load_arrays, save_arrays
from edgekd.records.base import Record

AnyRecord = TypeVar("AnyRecord", bound=Record)


def save_images(path: Path, split: LabelledImages) -> None:
    save_arrays(path, {"images": split.images, "labels": split.labels})


def load_images(path: Path) -> LabelledImages:
    arrays = load_arrays(path)
    return LabelledImages(arrays["images"].astype(np.uint8, copy=False), arrays["labels"].astype(np.int64, copy=False))


def count_images(path: Path) -> int:
    return len(load_images(path))


def save_record(path: Path, record: Record) -> None:
    path.write_text(record.model_dump_json(indent=1), encoding="utf-8")


def load_record(kind: type[AnyRecord], path: Path) -> AnyRecord:
    return kind.model_validate_json(path.read_bytes())
