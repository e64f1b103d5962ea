"""What a network answers, as it will after export: eval mode, float32, no augmentation."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgekd.data.modalities.base import Feeds, fed_at_once, feeds_for
from edgekd.data.samples import Split
from edgekd.data.tensors import moved
from edgekd.records.contract import ModelContract
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.replicas import Replicas
from edgekd.training.taps import undisturbed

BATCH_SIZE = 512
BATCH_BYTES = 2**25  # that a batch has at most: activations of large images take many times as much


def answered_at_once(contract: ModelContract) -> int:
    """How many samples a network is asked about in one go."""
    return min(BATCH_SIZE, fed_at_once(contract, BATCH_BYTES))


def predict_logits(module: nn.Module, feeds: Feeds) -> NDArray[np.float32]:
    """logits: float32 (N, classes). feeds: in the contract's order, which is how the module takes its inputs."""
    with undisturbed(module):
        count, total_bytes = len(next(iter(feeds.values()))), sum(each.nbytes for each in feeds.values())
        slices = _slices(count, max(1, BATCH_BYTES * count // total_bytes))
        return np.concatenate([_logits(module, {name: each[rows] for name, each in feeds.items()}) for rows in slices])


def count_right(replicas: Replicas, split: Split, contract: ModelContract) -> int:
    """How many of the samples get their label as the largest logit; the copies of all processes share the batches among
    them."""
    group, copies = replicas.workers.group, len(replicas.modules)
    slices = _slices(len(split), answered_at_once(contract))

    def part(shard: int) -> int:
        right = 0
        for rows in slices[group.rank * copies + shard :: group.size * copies]:
            logits = _logits(replicas.modules[shard], feeds_for(contract, split.samples[rows]))
            right += int((logits.argmax(axis=1) == split.labels[rows]).sum())
        return right

    with ExitStack() as stack:
        for module in replicas.modules:
            stack.enter_context(undisturbed(module))
        right = torch.tensor(sum(replicas.workers.each(part)), device=replicas.workers.device)
        group.add_up([right])
        return int(right)


def _logits(module: nn.Module, feeds: Feeds) -> NDArray[np.float32]:
    with torch.no_grad():  # of this thread
        device = next((each.device for each in module.parameters()), torch.device("cpu"))
        inputs = (moved(each, device) for each in laid_out(tensors_of(feeds)).values())
        logits: NDArray[np.float32] = module(*inputs).cpu().numpy()
    return logits


def _slices(count: int, fitting: int) -> list[slice]:
    size = min(BATCH_SIZE, fitting)
    return [slice(start, start + size) for start in range(0, count, size)]
