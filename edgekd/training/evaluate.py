"""What a network answers, as it will after export: eval mode, float32, no augmentation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgekd.data.modalities.base import Feeds, feeds_for
from edgekd.data.samples import Split
from edgekd.records.contract import ModelContract
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.taps import undisturbed

BATCH_SIZE = 512


def predict_logits(module: nn.Module, feeds: Feeds) -> NDArray[np.float32]:
    """logits: float32 (N, classes). feeds: in the contract's order, which is how the module takes its inputs."""
    parts = []
    with undisturbed(module):
        for rows in _slices(len(next(iter(feeds.values())))):
            inputs = laid_out(tensors_of({name: each[rows] for name, each in feeds.items()}))
            parts.append(module(*inputs.values()).numpy())
    return np.concatenate(parts)


def count_right(module: nn.Module, split: Split, contract: ModelContract) -> int:
    """How many of the samples get their label as the largest logit."""
    right = 0
    for rows in _slices(len(split)):  # a large data set as float32 may not fit into memory
        logits = predict_logits(module, feeds_for(contract, split.samples[rows]))
        right += int((logits.argmax(axis=1) == split.labels[rows]).sum())
    return right


def _slices(count: int) -> list[slice]:
    return [slice(start, start + BATCH_SIZE) for start in range(0, count, BATCH_SIZE)]
