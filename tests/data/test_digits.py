from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from edgekd.data.digits import Digits
from edgekd.progress import Silent


def test_the_bundled_digits_come_whole_in_two_disjoint_stratified_parts() -> None:
    data = Digits(use="digits").load(Silent())
    assert data.train.samples.shape == (1348, 8, 8, 1)
    assert data.test.samples.shape == (449, 8, 8, 1)
    together = np.concatenate([data.train.samples, data.test.samples]).reshape(1797, 64)
    bundled = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    assert sorted(map(bytes, together)) == sorted(map(bytes, bundled))
    shares = np.bincount(data.test.labels) / np.bincount(load_digits().target)
    assert np.all(np.abs(shares - 0.25) < 0.01)


def test_the_labels_belong_to_their_images() -> None:
    data = Digits(use="digits").load(Silent())
    known = {
        bytes(np.rint(pixels * 255 / 16).astype(np.uint8)): target
        for pixels, target in zip(load_digits().data, load_digits().target, strict=True)
    }
    for part in (data.train, data.test):
        flat = np.asarray(part.samples).reshape(len(part), 64)
        assert [known[bytes(row)] for row in flat] == part.labels.tolist()
