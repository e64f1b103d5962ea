from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

from edgekd.data.breast_cancer import BreastCancer
from edgekd.data.modalities.base import modality
from edgekd.progress import Silent


def test_the_bundled_tumours_come_whole_in_two_disjoint_stratified_parts() -> None:
    data = BreastCancer(use="breast_cancer").load(Silent())
    assert data.train.samples.shape == (427, 30)
    assert data.test.samples.shape == (142, 30)
    assert data.classes == ("malignant", "benign")
    together = np.concatenate([data.train.samples, data.test.samples])
    bundled = load_breast_cancer()
    assert sorted(map(bytes, together)) == sorted(map(bytes, bundled.data.astype(np.float32)))
    shares = np.bincount(data.test.labels) / np.bincount(bundled.target)
    assert np.all(np.abs(shares - 0.25) < 0.01)


def test_the_labels_belong_to_their_rows() -> None:
    data = BreastCancer(use="breast_cancer").load(Silent())
    bundled = load_breast_cancer()
    known = {bytes(row): target for row, target in zip(bundled.data.astype(np.float32), bundled.target, strict=True)}
    for part in (data.train, data.test):
        assert [known[bytes(row)] for row in np.asarray(part.samples)] == part.labels.tolist()


def test_its_samples_are_what_their_kind_accepts() -> None:
    component = BreastCancer(use="breast_cancer")
    assert component.modality == "vector"
    samples = component.load(Silent()).train.samples
    np.testing.assert_array_equal(modality("vector").accepted(samples), samples)
