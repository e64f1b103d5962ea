"""What a loss may look at: one batch, and what every network said to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgekd.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Answers:
    """What one network said. logits: float32 (N, C); taps: the outputs of the layers that a loss asked for, by name."""

    logits: Tensor
    taps: Mapping[str, Tensor] = field(default_factory=dict)

    def overheard(self) -> Answers:
        """The same for another network to learn from: without gradient, and in memory of its own."""
        return Answers(self.logits.detach().clone(), {name: each.detach().clone() for name, each in self.taps.items()})


@dataclass(frozen=True, slots=True)
class Mixed:
    """Each sample of a batch is mixed with another one by mixup or cutmix.

    labels: int64 (N,), of those others. share: float32 (N,), what share of the target each sample's own label has.
    Both lie where the inputs do.
    """

    labels: Tensor
    share: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """Every network sees the same inputs.

    inputs: by name in the contract's order, augmented, float32 (N, ...). labels: int64 (N,), negative where there is
    none. rows: int64 (N,), which training samples these are. view: which augmentation of them, the same number for
    every network and every run. labelled: which share of the training samples has a label, 0 to 1. looks: how often
    each sample is in it, one after the other: 2 with `second_view`, first as `augment` changes it.

    mixed: None without mixup and cutmix. A loss that reads labels takes the mean with `by_label`, which knows of it; a
    loss that compares networks has nothing to do: teachers were asked about the same mixed inputs.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor
    rows: NDArray[np.int64]
    view: int
    mixed: Mixed | None = None
    labelled: float = 1.0
    looks: int = 1

    def only(self, look: int) -> Batch:
        """The samples as they are shown in one of the looks."""
        return self._of(slice(look, None, self.looks), looks=1)

    def parts(self, count: int) -> list[Batch]:
        """It as so many batches of equal sizes, in memory that they share."""
        size = len(self.rows) // count
        return [self._of(slice(part * size, (part + 1) * size), looks=self.looks) for part in range(count)]

    def _of(self, chosen: slice, *, looks: int) -> Batch:
        mixed = self.mixed
        return Batch(
            {name: each[chosen] for name, each in self.inputs.items()},
            self.labels[chosen],
            self.rows[chosen],
            self.view,
            None if mixed is None else Mixed(mixed.labels[chosen], mixed.share[chosen]),
            self.labelled,
            looks,
        )

    def strangers(self, device: torch.device) -> Tensor:
        """Which are other training samples for which, bool (N, N) on the device: another view of a sample is none."""
        from edgekd.data.tensors import moved

        rows = moved(self.rows, device)
        return rows[:, None] != rows

    def by_label(self, term: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean over the labelled samples of `term(labels)`, (N,); of mixed ones, of both labels by their share.

        Where only a share of all training samples has labels, that share of the batch is taken for their number in it:
        their number itself would make each of them count for more in a batch that has few.

        Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2: where the term is linear in the
        target, as cross-entropy is, this is the term with the mixed target.

        Raises:
            ConfigError: no training sample has a label.
        """
        if self.labelled == 0:
            raise ConfigError(
                "it reads labels, and no training sample has one", hint="leave the term out, or set data.labelled"
            )
        values = self._known(term, self.labels)
        if self.mixed is not None:
            share = self.mixed.share
            values = share * values + (1 - share) * self._known(term, self.mixed.labels)
        return values.mean() / self.labelled

    def _known(self, term: Callable[[Tensor], Tensor], labels: Tensor) -> Tensor:
        """`term(labels)`, 0 where there is no label."""
        if self.labelled == 1:
            return term(labels)
        return term(labels.clamp(min=0)).where(labels >= 0, 0.0)


@dataclass(frozen=True, slots=True)
class Lesson:
    """student: who learns, with gradient. teachers: by name, without, and among them the peers of who learns.
    progress: share of the training that is over, 0 to 1."""

    batch: Batch
    student: Answers
    teachers: Mapping[str, Answers]
    progress: float


@dataclass(frozen=True, slots=True)
class Shapes:
    """What one dry pass of a batch found, so that parts of a loss are made to fit.

    student: the shape of each tapped layer's output without the batch; teachers: the same by network, then layer.
    samples: how many training samples there are.
    """

    classes: int
    samples: int
    student: Mapping[str, tuple[int, ...]]
    teachers: Mapping[str, Mapping[str, tuple[int, ...]]]
