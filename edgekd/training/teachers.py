"""Teachers answer, however they are made: a network that runs here, or something given that is only asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from edgekd.data.tensors import moved
from edgekd.teachers.base import Answerer
from edgekd.training.layout import lay_out
from edgekd.training.lesson import Answers, Batch
from edgekd.training.replicas import Replicas, obstacle
from edgekd.training.taps import LayerError
from edgekd.training.workers import ALONE, Workers


class Teaching(Protocol):
    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        """What the teacher says to a batch, with the outputs of its layers `taps`; nothing in it has a gradient.

        Raises:
            LayerError: it has no such layer.
            ConfigError: it cannot answer.
        """
        ...


class Live:
    """A network that runs here. It is only asked: in eval mode and without gradients, its weights and statistics
    stay."""

    def __init__(self, module: nn.Module) -> None:
        lay_out(module)
        self.module = module.eval()
        self._made_for = ALONE
        self._replicas = Replicas(self.module, ALONE)

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        if self._made_for is not workers:
            self.module.to(workers.device)
            whole = workers.shards > 1 and obstacle(self.module, tuple(batch.inputs.values())) is not None
            self._replicas = Replicas(self.module, workers.in_one() if whole else workers)
            self._made_for = workers
        with torch.no_grad():
            return self._replicas.answers(batch.inputs, taps)


class Given:
    """An opened `edgekd.teachers.base.Teacher`: it gives logits and has no layers to read."""

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:  # noqa: ARG002
        if taps:
            raise LayerError(
                taps[0],
                f"it is given, not trained here, so its layer {taps[0]!r} cannot be read",
                hint="set `network` of that loss to a teacher that is trained here",
            )
        feeds = {name: np.ascontiguousarray(each.cpu().numpy()) for name, each in batch.inputs.items()}
        return Answers(moved(self.answerer(feeds), batch.labels.device))
