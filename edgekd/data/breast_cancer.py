"""scikit-learn's 569 breast tumours, each described by 30 measurements of its cells, which come with it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgekd.data.base import Dataset
from edgekd.data.samples import LabelledData, Split
from edgekd.data.split import TEST_SEED, stratified_split
from edgekd.progress import Progress

TEST_SHARE = 0.25  # 142 rows: the set comes without a split of its own


class BreastCancer(Dataset):
    """scikit-learn's 569 breast tumours, malignant or benign, of 30 features each; 142 are the test split."""

    modality: ClassVar[str] = "vector"

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - there is nothing to wait for
        from sklearn.datasets import load_breast_cancer

        bundled = load_breast_cancer()
        everything = Split(bundled.data.astype(np.float32), bundled.target.astype(np.int64))
        train, test = stratified_split(everything.labels, TEST_SHARE, TEST_SEED)
        return LabelledData(
            train=everything.take(train),
            test=everything.take(test),
            classes=tuple(str(name) for name in bundled.target_names),
        )
