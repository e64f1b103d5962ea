"""Arrays in one file, with the same bytes for the same content (`numpy.savez` writes the time of day).

Nothing is compressed, so the rows of an array that is larger than memory can be read where they lie.
"""

from __future__ import annotations

import math
import os
import struct
import weakref
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MOST_BUFFERS = 1024  # that one system call fills: IOV_MAX of Linux and macOS
LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip entry, up to the lengths of the name and of the extra field


@dataclass(frozen=True)
class Parts:
    """An array that comes piece by piece along its first axis, and is never in memory whole."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Iterable[NDArray[Any]]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[np.generic] | Parts]) -> None:
    """Writes an uncompressed .npz that `numpy.load` reads."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(entry, "w", force_zip64=True) as stream:
                if isinstance(array, Parts):
                    _write_parts(stream, array)
                else:
                    np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def load_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


class StoredArray:
    """One array in a file of `save_arrays`, whose rows are read when they are asked for.

    They are read and not mapped: pages of a mapped file would count as memory of the process. Several threads may
    read at once.

    Raises:
        KeyError: the file has no such array.
        ValueError: it was not written by `save_arrays`.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as stream:
                np.lib.format.read_magic(stream)
                shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
                start = stream.tell()
        if entry.compress_type != zipfile.ZIP_STORED or by_columns or not shape:
            raise ValueError(f"{path}: the rows of {name} cannot be read one by one")
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = dtype
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        around = LOCAL_HEADER.unpack(os.pread(self._file, LOCAL_HEADER.size, entry.header_offset))
        self._start = entry.header_offset + LOCAL_HEADER.size + sum(around) + start

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> NDArray[Any]:
        """A new array of the rows, in the order asked for.

        Raises:
            IndexError: there is no such row.
            OSError: the file cannot be read, or is cut short.
        """
        wanted = np.arange(len(self))[rows]
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        content = found.reshape(-1).view(np.uint8).data
        order = np.argsort(wanted, kind="stable")
        ends = np.flatnonzero(np.diff(wanted[order]) != 1) + 1
        for run in np.split(order, ends):
            for first in range(0, len(run), MOST_BUFFERS):
                places = run[first : first + MOST_BUFFERS]
                self._fill(
                    [content[place * size : (place + 1) * size] for place in places.tolist()],
                    self._start + int(wanted[places[0]]) * size,
                )
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of it, in memory."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def _fill(self, buffers: list[memoryview], offset: int) -> None:
        """Reads on from `offset` until all buffers are full: one call may read less than it is asked for."""
        while buffers:
            read = os.preadv(self._file, buffers, offset)
            if read == 0:
                raise OSError(f"{self.path} ends in the middle of an array")
            offset += read
            while buffers and read >= len(buffers[0]):
                read -= len(buffers.pop(0))
            if read:
                buffers[0] = buffers[0][read:]


def _write_parts(stream: IO[bytes], array: Parts) -> None:
    """What `numpy.lib.format.write_array` writes for the whole."""
    described = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(stream, described)
    rows = 0
    for part in array.parts:
        stream.write(np.ascontiguousarray(part, array.dtype).reshape(-1).view(np.uint8).data)
        rows += len(part)
    if rows != array.shape[0]:
        raise ValueError(f"{rows} rows came for an array of {array.shape[0]}")
