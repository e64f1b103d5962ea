"""Test samples that are among the training samples too: equal ones, and pictures that are almost equal.

Texts are equal whatever their case and white space.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekd.data.samples import Chosen, Rows
from edgekd.progress import Advance

READ = 1024  # samples in one go, at most
READ_BYTES = 2**21
SIDE = 16  # pixels of a gist
ALIKE = 0.95  # correlation of two gists, at least
NEIGHBOURS = 10
NEARER = 0.3
"""How much nearer than its tenth neighbour the nearest must be: two pictures of simple things are alike, but then so
are many others."""
PAIRS = 600_000_000  # of test and training pictures that are compared; 10,000 with 60,000


class Repeats(NamedTuple):
    """Rows of the test samples, in their order. equal: those that are a training sample; alike: others that are almost
    one; compared: how many were looked at for that, evenly spaced, 0 where samples are no pictures."""

    equal: NDArray[np.int64]
    alike: NDArray[np.int64]
    compared: int


def repeats(learned: Sequence[Rows], test: Rows, advance: Advance) -> Repeats:
    """learned: the samples that are learned from and chosen by; `advance` is called for each of them once, or twice
    where they are pictures (`passes`).

    A picture is almost another one where both, scaled to 16 pixels a side in grey, correlate, whatever their brightness
    and contrast, and it is far nearer than the tenth nearest training picture. So copies are found that were saved
    again, smaller or brighter; not those that were turned, mirrored or cropped, nor what is there ten times.

    Source: the ratio of distances is Lowe 2004, Distinctive Image Features from Scale-Invariant Keypoints, section 7.1,
    with the tenth neighbour in the place of the second, for a copy may be there several times.
    """
    known = {each for rows in learned for each in _digests(rows, advance)}
    equal = np.array([row for row, each in enumerate(_digests(test)) if each in known], np.int64)
    if passes(test) == 1:
        return Repeats(equal, np.zeros(0, np.int64), 0)
    count = min(len(test), max(1, PAIRS // sum(len(rows) for rows in learned)))
    looked_at = np.linspace(0, len(test) - 1, count).astype(np.int64)
    wanted = np.setdiff1d(looked_at, equal)
    gists = np.concatenate([_NONE, *(_gists(part) for part in _parts(Chosen(test, wanted)))])
    nearest = np.zeros(len(wanted), np.float32)
    for part in _scored(gists, learned):
        nearest = np.maximum(nearest, part.max(axis=1))
        advance(part.shape[1])
    near = np.flatnonzero(nearest >= ALIKE)
    best = np.zeros((len(near), 0), np.float32)
    for part in _scored(gists[near], learned) if len(near) else ():
        best = -np.sort(-np.concatenate([best, part], axis=1), axis=1)[:, :NEIGHBOURS]
    distances = np.sqrt(np.maximum(0, 2 - 2 * best))
    alike = [row for row, each in zip(wanted[near], distances, strict=True) if each[0] <= NEARER * each[-1]]
    return Repeats(equal, np.array(alike, np.int64), count)


def passes(samples: Rows) -> int:
    """How often the training samples are gone through."""
    return 2 if len(samples.shape) == 4 else 1


_NONE = np.zeros((0, SIDE * SIDE), np.float32)


def _parts(rows: Rows) -> Iterator[NDArray[Any]]:
    few = max(1, min(READ, READ_BYTES // (rows.dtype.itemsize * math.prod(rows.shape[1:]))))
    for start in range(0, len(rows), few):
        yield rows[start : start + few]


def _digests(rows: Rows, advance: Advance | None = None) -> Iterator[bytes]:
    for part in _parts(rows):
        for each in part:
            yield hashlib.blake2b(_folded(each), digest_size=16).digest()
        if advance is not None:
            advance(len(part))


def _folded(sample: Any) -> bytes:
    if isinstance(sample, bytes):  # UTF-8
        return " ".join(sample.decode().casefold().split()).encode()
    content: bytes = sample.tobytes()
    return content


def _gists(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 (N, SIDE²) of uint8 (N, H, W, C): grey means over equal parts, of mean 0 and length 1; zeros where there
    is nothing to see. The product of two is their correlation."""
    down, across = (_averaging(pictures.shape[axis]) for axis in (1, 2))
    grey = pictures.mean(axis=3, dtype=np.float32)
    gists = np.asarray(down @ grey @ across.T, np.float32).reshape(len(pictures), -1)
    gists = gists - gists.mean(axis=1, keepdims=True)
    lengths = np.sqrt((gists**2).sum(axis=1, keepdims=True))
    normed: NDArray[np.float32] = np.asarray(gists / np.where(lengths > 1, lengths, np.inf), np.float32)
    return normed


def _averaging(size: int) -> NDArray[np.float32]:
    """(SIDE, size): each row takes the mean of its part of the pixels, which may cut some."""
    edges = np.linspace(0, size, SIDE + 1)
    pixels = np.arange(size)
    taken = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    means: NDArray[np.float32] = (np.maximum(taken, 0) * (SIDE / size)).astype(np.float32)
    return means


def _scored(gists: NDArray[np.float32], learned: Sequence[Rows]) -> Iterator[NDArray[np.float32]]:
    """The correlations (N, few) with a few training pictures after the other."""
    for rows in learned:
        for part in _parts(rows):
            yield gists @ _gists(part).T
