"""One who learns, step by step: the student, or a peer beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training.averaging import Average
from edgekd.training.checkpoint import Trained
from edgekd.training.classroom import STUDENT
from edgekd.training.group import Group
from edgekd.training.lesson import Batch, Lesson, Shapes
from edgekd.training.losses.base import Loss
from edgekd.training.objective import objective_from
from edgekd.training.optimizers.base import Optimizer, set_learning_rate
from edgekd.training.random_numbers import OwnRandomNumbers
from edgekd.training.replicas import Attempt, Replicas, obstacle
from edgekd.training.seeds import derived_seed
from edgekd.training.workers import Workers


@dataclass(frozen=True)
class Learner:
    """name: empty for the student; network: what `trained` has, to be computed; kept: the same, or its average; taps:
    the layers that are read of it; apart: a peer's random numbers, None for the student, who takes those of the
    training."""

    name: str
    network: Replicas
    kept: Replicas
    trained: Trained
    taps: tuple[str, ...]
    seed: int
    apart: OwnRandomNumbers | None

    def begin(self, epoch: int) -> None:
        """To go on after an epoch, no generator's state is needed: each epoch has a seed."""
        if self.apart is not None:
            self.apart.begin(derived_seed(self.seed, str(epoch)))
        self.network.train()
        self.trained.objective.train()

    def attempt(self, batch: Batch) -> Attempt:
        with self._random_numbers():
            return self.network.attempt(batch.inputs, self.taps)

    def learn(self, attempt: Attempt, lesson: Lesson, rate: float) -> tuple[Tensor, dict[str, Tensor]]:
        """A step: the weighted sum before it, and each term without its weight."""
        trained = self.trained
        with self._random_numbers():
            trained.optimizer.zero_grad()
            loss, terms = trained.objective(lesson)
            loss.backward()
            attempt.backward()
            set_learning_rate(trained.optimizer, rate)
            trained.optimizer.step()
            if trained.average is not None:
                trained.average.update_parameters(trained.model)
        return loss.detach(), terms

    @contextmanager
    def _random_numbers(self) -> Iterator[None]:
        if self.apart is None:
            yield
            return
        with self.apart.taken():
            yield


def prepared(
    name: str,
    network: nn.Module,
    losses: Sequence[Loss],
    shapes: Shapes,
    options: TrainingOptions,
    *,
    seed: int,
    device: torch.device,
    group: Group,
    section: str,
) -> Trained:
    """All that is trained of one who learns, on the device, and the same in every process.

    Raises:
        ConfigError: a loss does not fit, or the network cannot be copied for its average.
    """
    try:
        objective = objective_from(losses, shapes, derived_seed(seed, "objective"), section)
    except ConfigError as error:
        error.what = f"{name}: {error.what}" if name else error.what
        raise
    group.copy([*network.state_dict().values(), *objective.state_dict().values()])
    network.to(device)
    objective.to(device)
    optimizer = cast("Optimizer", options.optimizer).build(network, objective, options, classes=shapes.classes)
    return Trained(network, objective, optimizer, _average(network, options, section))


def learners(
    trained: Trained, taps: Mapping[str, tuple[str, ...]], seeds: Mapping[str, int], batch: Batch, workers: Workers
) -> list[Learner]:
    """The student and its peers; taps, seeds: by name, the student's being empty; batch: one of the training.

    A peer that cannot be computed in shards is computed in one piece, as teachers are: how the student is computed
    does not depend on who learns beside it.
    """
    found = []
    for name, each in {STUDENT: trained, **trained.peers}.items():
        own = workers
        if name and workers.shards > 1 and obstacle(each.model, tuple(batch.inputs.values())) is not None:
            own = workers.in_one()
        network = Replicas(each.model, own)
        found.append(
            Learner(
                name=name,
                network=network,
                kept=network if each.average is None else Replicas(each.average.module, own),
                trained=each,
                taps=taps[name],
                seed=seeds[name],
                apart=OwnRandomNumbers(workers.device) if name else None,
            )
        )
    return found


def _average(model: nn.Module, options: TrainingOptions, section: str) -> Average | None:
    if not options.averaging:
        return None
    try:
        return Average(model, options.averaging)
    except Exception as error:
        what = f"the network cannot be copied: {error}"
        raise ConfigError(what, where=f"{section}.averaging", hint="leave `averaging` out") from error
