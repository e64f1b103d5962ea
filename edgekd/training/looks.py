"""One way in which the samples of a training are shown: changed by augmentation and by mixing.

A training has one, and a second one where `second_view` asks for it. What a sample looks like depends on (seed, look,
view, row) alone: a view is a table with one row of uniform numbers a sample, and augmentation draws nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.modalities.base import modality, specs_of
from edgekd.data.tensors import moved
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract
from edgekd.training.lesson import Mixed
from edgekd.training.mixing import Mixing

Fed = Callable[[NDArray[np.int64]], "dict[str, Tensor]"]
"""Training samples by their rows, as a network is fed them without any change."""
STREAMS = ((), (3,))
"""What of a look's streams of random numbers is beside seed and view; (1,) is the order's."""
MIXING_STREAMS = ((2,), (4,))


class Look:
    """labels: of all training samples. position: 0 for the first look of a training, 1 for the second.

    Raises:
        ValueError: an option of augmentation that this kind of input has no use for; the message has a hint on a second
            line.
    """

    def __init__(
        self,
        options: AugmentOptions,
        contract: ModelContract,
        labels: NDArray[np.int64],
        *,
        seed: int,
        position: int,
        views: int,
    ) -> None:
        kind, specs = modality(contract.modality), specs_of(contract)
        self.options, self.labels, self.seed, self.position = options, labels, seed, position
        self.augment = kind.augmentation(options, specs)
        self.mixing = Mixing(options, specs, len(labels)) if options.mixup or options.cutmix else None
        self.alternating = list(kind.alternating(options))
        self.numbers = 0 if self.augment is None else kind.numbers(specs)
        self.count = views if self.augment is not None or self.mixing is not None else 1
        self._table: tuple[int, NDArray[np.float64], NDArray[np.float64]] | None = None

    def prepare(self, view: int) -> None:
        """Makes what this view takes, before several threads need it."""
        self._numbers(view)

    def shown(
        self, rows: NDArray[np.int64], view: int, fed: Fed, device: torch.device
    ) -> tuple[dict[str, Tensor], Mixed | None]:
        """These samples in this view, float32 (N, ...) on the device, and how each is mixed if it is."""
        augmenting, mixing = self._numbers(view)
        inputs = self._changed(fed(rows), augmenting[rows])
        if self.mixing is None:
            return inputs, None
        partners = self.mixing.partners(mixing[rows])
        others = self._changed(fed(partners), augmenting[partners])
        inputs, share = self.mixing.apply(inputs, others, mixing[rows])
        return inputs, Mixed(moved(self.labels[partners], device), moved(share, device))

    def _changed(self, inputs: dict[str, Tensor], numbers: NDArray[np.float64]) -> dict[str, Tensor]:
        return inputs if self.augment is None else self.augment(inputs, numbers)

    def _numbers(self, view: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What augmentation and what mixing take for every sample: float64 (samples, numbers) each."""
        view %= self.count
        if self._table is None or self._table[0] != view:
            rows = len(self.labels)
            numbers = view_table(self.seed, view, rows, self.numbers, STREAMS[self.position])
            if self.alternating:
                # of the first look's stream: the second shows what the first does not
                first = view_table(self.seed, 0, rows, self.numbers)[:, self.alternating]
                numbers[:, self.alternating] = (first + (view + self.position) % 2 / 2) % 1
            drawn = Mixing.numbers if self.mixing else 0
            mixing = view_table(self.seed, view, rows, drawn, MIXING_STREAMS[self.position])
            self._table = view, numbers, mixing
        return self._table[1:]


def looks_of(
    options: TrainingOptions, contract: ModelContract, labels: NDArray[np.int64], *, seed: int, section: str
) -> tuple[Look, ...]:
    """The looks of a training; section: what the file calls it.

    Raises:
        ConfigError: an option of augmentation that this kind of input has no use for.
    """
    views = min(options.views or options.epochs, options.epochs)
    looks = []
    for position, key in enumerate(("augment", "second_view")):
        asked = getattr(options, key)
        if asked is None:
            continue
        try:
            looks.append(Look(asked, contract, labels, seed=seed, position=position, views=views))
        except ValueError as error:
            what, _, hint = str(error).partition("\n")
            raise ConfigError(what, where=f"{section}.{key}", hint=hint or None) from error
    return tuple(looks)


def alternated(looks: Sequence[Tensor]) -> Tensor:
    """The rows of all looks (N, ...) as those of one batch, the looks of a sample one after the other."""
    return looks[0] if len(looks) == 1 else torch.stack(list(looks), dim=1).flatten(0, 1)


def view_table(seed: int, view: int, rows: int, numbers: int, stream: Sequence[int] = ()) -> NDArray[np.float64]:
    """float64 (rows, numbers), uniform in [0, 1): one view of every sample.

    It is filled row by row from one stream, so a row is the same however many follow it.
    """
    return np.random.default_rng([seed, view, *stream]).random((rows, numbers))
