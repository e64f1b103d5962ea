"""The batches of a training: which samples, in which order, and how each is changed.

What a sample looks like depends on (seed, view, row) alone: a view is a table with one row of uniform numbers a sample,
and augmentation draws nothing itself. So neither the batch size, nor the order, nor where a run was resumed changes a
sample, and what a teacher said to it can be kept by (view, row).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.config.training import TrainingOptions
from edgekd.data.modalities.base import modality, specs_of
from edgekd.data.samples import Split
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.lesson import Batch


class Views:
    """The batches of every epoch of a training on `split`; epoch n shows view n. `section` is what the file calls
    the training.

    Raises:
        ConfigError: an option of augmentation that this kind of input has no use for.
    """

    def __init__(
        self, split: Split, contract: ModelContract, options: TrainingOptions, *, seed: int, section: str
    ) -> None:
        self.split, self.seed = split, seed
        self.batch_size = min(options.batch_size, len(split))
        self.steps = len(split) // self.batch_size
        self.kind, self.specs = modality(contract.modality), specs_of(contract)
        try:
            self.augment = self.kind.augmentation(options.augment, self.specs)
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(what, where=f"{section}.augment", hint=hint or None) from error
        self.numbers = self.kind.numbers(self.specs)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches, from 0; a ragged last one is left out, another one in each epoch."""
        order = np.random.default_rng([self.seed, number, 1]).permutation(len(self.split))
        table = None if self.augment is None else view_table(self.seed, number, len(self.split), self.numbers)
        for rows in np.split(order[: self.steps * self.batch_size], self.steps):
            inputs = tensors_of(self.kind.feed(self.split.samples[rows], self.specs))
            if self.augment is not None and table is not None:
                inputs = self.augment(inputs, table[rows])
            yield Batch(laid_out(inputs), torch.from_numpy(self.split.labels[rows]), rows, number)


def view_table(seed: int, view: int, rows: int, numbers: int) -> NDArray[np.float64]:
    """float64 (rows, numbers), uniform in [0, 1): one view of every sample.

    It is filled row by row from one stream, so a row is the same however many follow it.
    """
    return np.random.default_rng([seed, view]).random((rows, numbers))
