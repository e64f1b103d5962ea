"""Mixed samples: mixup and cutmix.

Which sample another one is mixed with, and how, depends on the numbers of its own row alone, never on the batch: so
what a teacher said to a mixed sample can be kept by (view, row) too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from edgekd.config.training import AugmentOptions
from edgekd.data.modalities.base import Spec
from edgekd.data.modalities.spans import spans
from edgekd.data.tensors import moved

DRAWN = ("partner", "share", "choice", "box_x", "box_y")
"""What the uniform numbers of a row decide, in their order."""


class Mixing:
    """Each row of a batch mixed with another training sample, its partner.

    samples: how many training samples there are.

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2; Yun et al. 2019, CutMix:
    Regularization Strategy to Train Strong Classifiers with Localizable Features, equations 1 and 2.

    Raises:
        ValueError: cutmix of what is no image, or numbers of words; the message has a hint on a second line.
    """

    numbers = len(DRAWN)
    """How many uniform numbers a row takes: the same whatever the options ask for."""

    def __init__(self, options: AugmentOptions, specs: Sequence[Spec], samples: int) -> None:
        if any(each.get("dtype") == "int32" for each in specs):
            names = ", ".join(each["name"] for each in specs)
            raise ValueError(f"{names}: numbers of words cannot be mixed\nleave mixup and cutmix out of `augment`")
        if options.cutmix and [len(each["shape"]) for each in specs] != [3]:
            names = ", ".join(each["name"] for each in specs)
            raise ValueError(f"cutmix takes boxes out of images, {names} is none\nmixup is for every kind of input")
        self.mixup, self.cutmix = options.mixup, options.cutmix
        self.cutting = 0.5 if self.mixup and self.cutmix else float(self.cutmix > 0)
        self.samples = samples

    def partners(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """The training sample that each row is mixed with: int64 (N,); numbers: float64 (N, len(DRAWN)) in [0, 1)."""
        return np.floor(numbers[:, DRAWN.index("partner")] * self.samples).astype(np.int64)

    def apply(
        self, inputs: Mapping[str, Tensor], partners: Mapping[str, Tensor], numbers: NDArray[np.float64]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The mixed inputs, and the share of the target that each row's own label keeps: float32 (N,), on the CPU.

        inputs, partners: the rows and their partners, each augmented by itself; numbers: as for `partners`.
        """
        drawn = {each: numbers[:, column] for column, each in enumerate(DRAWN)}
        cut = drawn["choice"] < self.cutting
        alpha = np.where(cut, self.cutmix, self.mixup)
        share = special.betaincinv(alpha, alpha, drawn["share"]).astype(np.float32)
        weights = share
        if self.cutmix:
            ((height, width),) = (each.shape[2:] for each in inputs.values())
            rows, columns = _boxes(drawn, np.sqrt(1 - share) * cut, height, width)
            weights = np.where(cut, 1, share)[:, None, None] - rows[:, :, None] * columns[:, None, :]
            kept = (height * width - rows.sum(axis=1) * columns.sum(axis=1)) / (height * width)
            share = np.where(cut, kept, share).astype(np.float32)
        return {name: _mixed(each, partners[name], weights) for name, each in inputs.items()}, torch.from_numpy(share)


def _boxes(
    drawn: dict[str, NDArray[np.float64]], sides: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """1 in the rows and in the columns of an image in which its box lies, 0 elsewhere: (N, H) and (N, W).

    sides: the box's share of height and width, (N,). Its middle is anywhere in the image, and what lies outside is
    cut off.
    """
    rows, columns = (
        spans(drawn[name], length, np.floor(sides * length).astype(np.int64)).astype(np.float32)
        for name, length in (("box_y", height), ("box_x", width))
    )
    return rows, columns


def _mixed(own: Tensor, partner: Tensor, weights: NDArray[np.float32]) -> Tensor:
    """weights: of `own`, (N,), or (N, H, W) for images (N, C, H, W)."""
    # not torch.lerp: it may round otherwise at the end of a batch, and gives not quite `own` at the weight 1
    shape = (1, *weights.shape[1:]) if weights.ndim > 1 else (1,) * (own.ndim - 1)
    left = moved(weights.reshape(len(own), *shape), own.device)
    return (own * left).add_(partner * (1 - left))
