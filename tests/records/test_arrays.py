from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekd.records import arrays as module
from edgekd.records.arrays import Parts, StoredArray, load_arrays, save_arrays

PIXELS = np.random.default_rng(0).integers(0, 256, (200, 4, 3), dtype=np.uint8)
LABELS = np.arange(200)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arrays") / "split.npz"
    save_arrays(path, {"samples": PIXELS, "labels": LABELS})
    return path


def test_the_same_arrays_make_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    arrays = {"images": np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, ::2], "labels": np.array([1, 0])}
    for name in ("a.npz", "b.npz"):
        save_arrays(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_arrays(tmp_path / "a.npz")
    assert {name: (array.dtype, array.tolist()) for name, array in back.items()} == {
        name: (array.dtype, array.tolist()) for name, array in arrays.items()
    }


@pytest.mark.parametrize(
    "array", [PIXELS, PIXELS.astype(np.float32) / 3, LABELS, PIXELS[::2, ::-1], np.zeros((0, 3))], ids=str
)
@pytest.mark.parametrize("few", [1, 7, 200, 500])
def test_an_array_in_parts_makes_the_bytes_of_the_whole(tmp_path: Path, array: NDArray[np.generic], few: int) -> None:
    parts = (array[start : start + few] for start in range(0, len(array), few))
    save_arrays(tmp_path / "parts.npz", {"x": Parts(array.shape, array.dtype, parts), "labels": LABELS})
    save_arrays(tmp_path / "whole.npz", {"x": array, "labels": LABELS})
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


@pytest.mark.parametrize("rows", [199, 201])
def test_parts_that_are_not_the_whole_are_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"200 rows came for an array of {rows}"):
        save_arrays(tmp_path / "x.npz", {"x": Parts((rows, 4, 3), PIXELS.dtype, [PIXELS])})


@given(rows=st.lists(st.integers(-200, 199)))
def test_rows_are_read_in_the_order_asked_for(file: Path, rows: list[int]) -> None:
    wanted = np.array(rows, dtype=np.int64)
    found = StoredArray(file, "samples")[wanted]
    assert found.dtype == PIXELS.dtype
    np.testing.assert_array_equal(found, PIXELS[wanted])


@given(rows=st.slices(200))
def test_slices_are_those_of_the_array(file: Path, rows: slice) -> None:
    np.testing.assert_array_equal(StoredArray(file, "samples")[rows], PIXELS[rows])
    np.testing.assert_array_equal(StoredArray(file, "labels")[rows], LABELS[rows])


def test_a_stored_array_tells_what_it_is_and_is_an_array_where_one_is_asked_for(file: Path) -> None:
    stored = StoredArray(file, "samples")
    assert (stored.shape, stored.dtype, len(stored)) == (PIXELS.shape, PIXELS.dtype, 200)
    np.testing.assert_array_equal(np.asarray(stored), PIXELS)
    np.testing.assert_array_equal(np.asarray(stored, np.float32), PIXELS.astype(np.float32))


def test_a_long_run_of_rows_takes_several_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BUFFERS", 7)
    np.testing.assert_array_equal(StoredArray(file, "samples")[:], PIXELS)


@pytest.mark.parametrize("most", [1, 5, 12, 13, 30])
def test_a_read_that_gives_less_than_was_asked_for_goes_on(
    file: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    whole = os.preadv

    def short(number: int, buffers: list[memoryview], offset: int) -> int:
        return whole(number, [buffers[0][:most]], offset)

    monkeypatch.setattr(os, "preadv", short)
    rows = np.array([5, 6, 7, 3, 199])
    np.testing.assert_array_equal(StoredArray(file, "samples")[rows], PIXELS[rows])


def test_threads_read_different_rows_at_once(file: Path) -> None:
    stored = StoredArray(file, "samples")
    wanted = [np.random.default_rng(seed).permutation(200)[:50] for seed in range(200)]
    with ThreadPoolExecutor(8) as pool:
        for rows, found in zip(wanted, pool.map(stored.__getitem__, wanted), strict=True):
            np.testing.assert_array_equal(found, PIXELS[rows])


def test_there_are_no_rows_beyond_the_last(file: Path) -> None:
    with pytest.raises(IndexError):
        StoredArray(file, "samples")[np.array([200])]


def test_a_file_that_is_cut_short_while_it_is_read_is_no_silent_zeros(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.npz"
    path.write_bytes(file.read_bytes())
    stored = StoredArray(path, "samples")
    with path.open("r+b") as stream:
        stream.truncate(1000)
    with pytest.raises(OSError, match="ends in the middle of an array"):
        stored[:]


def test_what_others_wrote_otherwise_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "packed.npz", x=PIXELS)
    np.savez(tmp_path / "columns.npz", x=np.asfortranarray(PIXELS), single=np.array(3))
    for name, array in (("packed", "x"), ("columns", "x"), ("columns", "single")):
        with pytest.raises(ValueError, match=f"the rows of {array} cannot be read one by one"):
            StoredArray(tmp_path / f"{name}.npz", array)
    with pytest.raises(KeyError):
        StoredArray(tmp_path / "columns.npz", "y")
