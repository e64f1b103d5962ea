"""What a loss may look at: one batch, and what every network said to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Answers:
    """What one network said. logits: float32 (N, C); taps: the outputs of the layers that a loss asked for, by name."""

    logits: Tensor
    taps: Mapping[str, Tensor] = field(default_factory=dict)


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

    inputs: by name in the contract's order, augmented, float32 (N, ...). labels: int64 (N,). rows: int64 (N,), which
    training samples these are. view: which augmentation of them, the same number for every network and every run.

    mixed: None without mixup and cutmix. A loss that reads labels takes the mean with `by_label`, which knows of it; a
    loss that compares networks has nothing to do: teachers were asked about the same mixed inputs.
    """

    inputs: Mapping[str, Tensor]
    labels: Tensor
    rows: NDArray[np.int64]
    view: int
    mixed: Mixed | None = None

    def by_label(self, term: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean over the samples of `term(labels)`, (N,); of mixed ones, the mean of both labels' by their share.

        Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2: where the term is linear in the
        target, as cross-entropy is, this is the term with the mixed target.
        """
        if self.mixed is None:
            return term(self.labels).mean()
        share = self.mixed.share
        return (share * term(self.labels) + (1 - share) * term(self.mixed.labels)).mean()


@dataclass(frozen=True, slots=True)
class Lesson:
    """student: with gradient. teachers: by name, without. progress: share of the training that is over, 0 to 1."""

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
