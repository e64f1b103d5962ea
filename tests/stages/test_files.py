from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.data.samples import Split
from edgekd.progress import Silent
from edgekd.records.arrays import StoredArray, save_arrays
from edgekd.stages import files
from edgekd.stages.files import load_split, save_split

SPLIT = Split(
    np.random.default_rng(0).integers(0, 256, (90, 5, 4, 3), dtype=np.uint8),
    np.random.default_rng(1).integers(0, 7, 90),
)
ROWS = np.random.default_rng(2).permutation(90)[:50]


def save(path: Path) -> Path:
    with Silent().task("rows", len(ROWS)) as advance:
        save_split(path, SPLIT, ROWS, advance)
    return path


@pytest.mark.parametrize("written_bytes", [1, 200, 2**25])
def test_a_file_does_not_tell_how_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_bytes: int
) -> None:
    monkeypatch.setattr(files, "WRITTEN_BYTES", written_bytes)
    save_arrays(tmp_path / "whole.npz", {"samples": SPLIT.samples[ROWS], "labels": SPLIT.labels[ROWS]})
    assert save(tmp_path / "rows.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("in_memory_bytes", [0, 2**30])
def test_samples_are_the_same_in_memory_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory_bytes: int
) -> None:
    monkeypatch.setattr(files, "IN_MEMORY_BYTES", in_memory_bytes)
    loaded = load_split(save(tmp_path / "rows.npz"))
    assert isinstance(loaded.samples, StoredArray) == (in_memory_bytes == 0)
    assert loaded.labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.labels, SPLIT.labels[ROWS])
    np.testing.assert_array_equal(loaded.samples, SPLIT.samples[ROWS])
    few = np.array([7, 3, 49])
    np.testing.assert_array_equal(loaded.samples[few], SPLIT.samples[ROWS[few]])


def test_progress_counts_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WRITTEN_ROWS", 20)
    steps: list[int] = []
    save_split(tmp_path / "rows.npz", SPLIT, ROWS, lambda amount=1, *, note=None: steps.append(amount))
    assert steps == [20, 20, 10]
