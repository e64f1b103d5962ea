from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekd.records.arrays import load_arrays, save_arrays


def test_the_same_arrays_make_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    arrays = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2], "labels": np.array([1, 0])}
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_arrays(tmp_path / "a.npz")
    assert {name: (array.dtype, array.tolist()) for name, array in back.items()} == {
        name: (array.dtype, array.tolist()) for name, array in arrays.items()
    }
