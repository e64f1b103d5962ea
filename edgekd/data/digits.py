"""scikit-learn's 1,797 handwritten digits, 8 x 8, which come with it: no download."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from edgekd.data.base import Dataset
from edgekd.data.samples import LabelledData, Split
from edgekd.data.split import TEST_SEED, stratified_split
from edgekd.progress import Progress

TEST_SHARE = 0.25  # 449 images: the set comes without a split of its own


class Digits(Dataset):
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; 449 of them are the test split."""

    modality: ClassVar[str] = "image"

    def load(self, progress: Progress) -> LabelledData:  # noqa: ARG002 - there is nothing to wait for
        from sklearn.datasets import load_digits

        bundled = load_digits()
        grey = np.rint(bundled.images * (255 / 16)).astype(np.uint8)  # the bundled pixels count 0 to 16
        everything = Split(grey[..., np.newaxis], bundled.target.astype(np.int64))
        train, test = stratified_split(everything.labels, TEST_SHARE, TEST_SEED)
        return LabelledData(
            train=everything.take(train),
            test=everything.take(test),
            classes=tuple(str(name) for name in bundled.target_names),
        )
