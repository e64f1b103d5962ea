"""The batches of a training: which samples, in which order, and how each is changed.

What a sample looks like depends on (seed, view, row) alone: a view is a table with one row of uniform numbers a sample,
and augmentation draws nothing itself. So neither the batch size, nor the order, nor where a run was resumed changes a
sample, and what a teacher said to it can be kept by (view, row).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import TrainingOptions
from edgekd.data.modalities.base import fed_at_once, feeds_for, modality, specs_of
from edgekd.data.samples import UNLABELLED, Split
from edgekd.data.tensors import moved
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.lesson import Batch, Mixed
from edgekd.training.mixing import Mixing
from edgekd.training.workers import ALONE, Workers, joined

RESIDENT_SHARE = 0.25
"""Of an accelerator's memory: samples that need less stay there, ready to be fed."""


class Views:
    """The batches of every epoch of a training on `split`. `section` is what the file calls the training.

    Epoch n shows view n, or, where the options allow fewer views, begins again with the first when all were shown;
    without augmentation there is one.

    Raises:
        ConfigError: an option of augmentation that this kind of input has no use for.
    """

    def __init__(
        self, split: Split, contract: ModelContract, options: TrainingOptions, *, seed: int, section: str
    ) -> None:
        self.split, self.contract, self.seed = split, contract, seed
        self.batch_size = min(options.batch_size, len(split))
        self.steps = len(split) // self.batch_size
        self.kind, self.specs = modality(contract.modality), specs_of(contract)
        mixes = options.augment.mixup or options.augment.cutmix
        try:
            self.augment = self.kind.augmentation(options.augment, self.specs)
            self.mixing = Mixing(options.augment, self.specs, len(split)) if mixes else None
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(what, where=f"{section}.augment", hint=hint or None) from error
        self.alternating = list(self.kind.alternating(options.augment))
        self.numbers = 0 if self.augment is None else self.kind.numbers(self.specs)
        changed = self.augment is not None or self.mixing is not None
        self.count = min(options.views or options.epochs, options.epochs) if changed else 1
        self.labelled = float((split.labels != UNLABELLED).mean())
        self._table: tuple[int, NDArray[np.float64], NDArray[np.float64]] | None = None
        self._resident: dict[str, Tensor] | None = None

    def reside(self, device: torch.device) -> None:
        """Keeps the samples in the memory of this accelerator, if there is room: fed once, float32.

        Otherwise, and on the processor, where they stay as small as they are stored, each batch is fed anew.
        """
        if device.type == "cpu":
            return
        needed = len(self.split) * sum(4 * math.prod(each.shape) for each in self.contract.inputs)
        if needed > RESIDENT_SHARE * memory_of(device):
            return
        few = fed_at_once(self.contract)
        parts = [
            {
                name: moved(each, device)
                for name, each in tensors_of(feeds_for(self.contract, self.split.samples[start : start + few])).items()
            }
            for start in range(0, len(self.split), few)
        ]
        self._resident = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def epoch(self, number: int, workers: Workers = ALONE) -> Iterator[Batch]:
        """The batches, from 0; a ragged last one is left out, another one in each epoch."""
        order = np.random.default_rng([self.seed, number, 1]).permutation(len(self.split))
        for rows in np.split(order[: self.steps * self.batch_size], self.steps):
            yield self.batch(rows, number % self.count, workers)

    def batch(self, rows: NDArray[np.int64], view: int, workers: Workers = ALONE) -> Batch:
        """These samples in this view on the workers' device, each shard of them made in its own thread.

        Every process makes the whole batch, for a loss may look at all of it.
        """
        slices = workers.slices(len(rows))
        self._numbers(view)  # before the threads need it

        def part(shard: int) -> tuple[dict[str, Tensor], Mixed | None]:
            return self._shown(rows[slices[shard]], view, workers.device)

        parts = workers.each(part)
        mixed = [each for _, each in parts if each is not None]
        return Batch(
            {name: joined([inputs[name] for inputs, _ in parts]) for name in parts[0][0]},
            moved(self.split.labels[rows], workers.device),
            rows,
            view,
            Mixed(joined([each.labels for each in mixed]), joined([each.share for each in mixed])) if mixed else None,
            self.labelled,
        )

    def _shown(
        self, rows: NDArray[np.int64], view: int, device: torch.device
    ) -> tuple[dict[str, Tensor], Mixed | None]:
        augmenting, mixing = self._numbers(view)
        inputs = self._changed(rows, augmenting, device)
        if self.mixing is None:
            return laid_out(inputs), None
        partners = self.mixing.partners(mixing[rows])
        inputs, share = self.mixing.apply(inputs, self._changed(partners, augmenting, device), mixing[rows])
        return laid_out(inputs), Mixed(moved(self.split.labels[partners], device), moved(share, device))

    def _changed(
        self, rows: NDArray[np.int64], numbers: NDArray[np.float64], device: torch.device
    ) -> dict[str, Tensor]:
        if self._resident is not None:
            places = moved(rows, device)
            inputs = {name: each.index_select(0, places) for name, each in self._resident.items()}
        else:
            fed = tensors_of(self.kind.feed(self.split.samples[rows], self.specs))
            inputs = {name: moved(each, device) for name, each in fed.items()}
        return inputs if self.augment is None else self.augment(inputs, numbers[rows])

    def _numbers(self, view: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What augmentation and what mixing take for every sample: float64 (samples, numbers) each."""
        if self._table is None or self._table[0] != view:
            rows = len(self.split)
            numbers = view_table(self.seed, view, rows, self.numbers)
            if self.alternating:
                first = view_table(self.seed, 0, rows, self.numbers)[:, self.alternating]
                numbers[:, self.alternating] = (first + view % 2 / 2) % 1
            mixing = np.random.default_rng([self.seed, view, 2]).random((rows, Mixing.numbers if self.mixing else 0))
            self._table = view, numbers, mixing
        return self._table[1:]


def view_table(seed: int, view: int, rows: int, numbers: int) -> NDArray[np.float64]:
    """float64 (rows, numbers), uniform in [0, 1): one view of every sample.

    It is filled row by row from one stream, so a row is the same however many follow it.
    """
    return np.random.default_rng([seed, view]).random((rows, numbers))


def memory_of(device: torch.device) -> int:
    """The bytes that an accelerator has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(torch.mps.recommended_max_memory())
