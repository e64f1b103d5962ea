"""The batches of a training: which samples, in which order, and how each is shown.

What a sample looks like depends on (seed, view, row) alone (`looks.py`). So neither the batch size, nor the order, nor
where a run was resumed changes a sample, and what a teacher said to it can be kept by (view, row).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import TrainingOptions
from edgekd.data.modalities.base import fed_at_once, feeds_for, lengths_of, modality, specs_of
from edgekd.data.samples import UNLABELLED, Split
from edgekd.data.tensors import moved
from edgekd.records.contract import ModelContract
from edgekd.training.buckets import by_length
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.lesson import Batch, Mixed
from edgekd.training.looks import Look, alternated, looks_of
from edgekd.training.workers import ALONE, Workers, joined

RESIDENT_SHARE = 0.25
"""Of an accelerator's memory: samples that need less stay there, ready to be fed."""
TOGETHER, TOGETHER_BYTES = 1024, 2**22
"""The most samples, and bytes of them, that several batches made at a time have: they should stay in a cache."""


class Views:
    """The batches of every epoch of a training on `split`. `section` is what the file calls the training.

    Epoch n shows view n, or, where the options allow fewer views, begins again with the first when all were shown;
    without augmentation there is one. Where there are two looks, each sample of a batch is in it twice, one after the
    other, so that every shard of the batch has both in equal shares.

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
        self.looks = looks_of(options, contract, split.labels, seed=seed, section=section)
        self.count = max(look.count for look in self.looks)
        self.labelled = float((split.labels != UNLABELLED).mean())
        self._resident: dict[str, Tensor] | None = None
        lengths = list(lengths_of(contract, split.samples).values())
        self._lengths = sum(lengths[1:], lengths[0]) if lengths else None

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
        """The batches, from 0; a ragged last one is left out, another one in each epoch. Where lengths vary, those of
        a batch are about as long as each other.

        Several are made at a time, for a small one takes longer to ask for than to make.
        """
        generator = np.random.default_rng([self.seed, number, 1])
        order = generator.permutation(len(self.split))[: self.steps * self.batch_size]
        if self._lengths is not None:
            order = by_length(order, self._lengths, self.batch_size, generator)
        most = min(TOGETHER, fed_at_once(self.contract, TOGETHER_BYTES))
        together = self.batch_size * max(1, most // (self.batch_size * len(self.looks)))
        first, *others = (order[at : at + together] for at in range(0, len(order), together))
        ahead = self._begun(first, number % self.count, workers)
        for rows in (*others, None):
            several = ahead()
            if rows is not None:
                ahead = self._begun(rows, number % self.count, workers)
            yield from several.parts(len(several.rows) // (self.batch_size * several.looks))

    def shortest_first(self) -> NDArray[np.int64]:
        """All rows, so that those of a few in a row are about as long; as they stand where all are of one length."""
        rows = np.arange(len(self.split))
        return rows if self._lengths is None else rows[np.argsort(self._lengths, kind="stable")]

    def batch(self, rows: NDArray[np.int64], view: int, workers: Workers = ALONE, look: int | None = None) -> Batch:
        """These samples in this view on the workers' device, each shard of them made in its own thread; look: which one
        alone, by default all.

        Every process makes the whole batch, for a loss may look at all of it.
        """
        return self._begun(rows, view, workers, look)()

    def _begun(
        self, rows: NDArray[np.int64], view: int, workers: Workers, look: int | None = None
    ) -> Callable[[], Batch]:
        """The function that is returned waits for the batch; a thread that is spare begins it at once."""
        looks = self.looks if look is None else self.looks[look : look + 1]
        slices = workers.slices(len(rows))
        for each in looks:
            each.prepare(view)

        def part(shard: int) -> tuple[dict[str, Tensor], Mixed | None]:
            return self._shown(rows[slices[shard]], view, looks, workers.device)

        begun = workers.begun(part)

        def whole() -> Batch:
            parts = begun()
            mixed = [each for _, each in parts if each is not None]
            every = np.repeat(rows, len(looks))
            return Batch(
                {name: joined([inputs[name] for inputs, _ in parts]) for name in parts[0][0]},
                moved(self.split.labels[every], workers.device),
                every,
                view,
                Mixed(joined([each.labels for each in mixed]), joined([each.share for each in mixed]))
                if mixed
                else None,
                self.labelled,
                len(looks),
            )

        return whole

    def _shown(
        self, rows: NDArray[np.int64], view: int, looks: Sequence[Look], device: torch.device
    ) -> tuple[dict[str, Tensor], Mixed | None]:
        def fed(wanted: NDArray[np.int64]) -> dict[str, Tensor]:
            return self._fed(wanted, device)

        shown = [look.shown(rows, view, fed, device) for look in looks]
        inputs = {name: alternated([each[name] for each, _ in shown]) for name in shown[0][0]}
        if all(mixed is None for _, mixed in shown):
            return laid_out(inputs), None
        labels = moved(self.split.labels[rows], device)
        whole = Mixed(labels, torch.ones(len(rows), device=device))
        both = [mixed or whole for _, mixed in shown]
        return laid_out(inputs), Mixed(
            alternated([each.labels for each in both]), alternated([each.share for each in both])
        )

    def _fed(self, rows: NDArray[np.int64], device: torch.device) -> dict[str, Tensor]:
        if self._resident is not None:
            places = moved(rows, device)
            return {name: each.index_select(0, places) for name, each in self._resident.items()}
        fed = tensors_of(self.kind.feed(self.split.samples[rows], self.specs))
        return {name: moved(each, device) for name, each in fed.items()}


def memory_of(device: torch.device) -> int:
    """The bytes that an accelerator has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(torch.mps.recommended_max_memory())
