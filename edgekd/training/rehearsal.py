"""The first step of a training, taken to see that its parts fit, and forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from edgekd.config.training import TrainingOptions
from edgekd.training.classroom import ALONE_IN_CLASS, STUDENT, classroom
from edgekd.training.group import SINGLE
from edgekd.training.layout import lay_out
from edgekd.training.learner import learners, prepared
from edgekd.training.lesson import Shapes
from edgekd.training.loop import NOBODY, TrainingData
from edgekd.training.losses.base import Loss
from edgekd.training.teachers import Teaching
from edgekd.training.views import Views
from edgekd.training.workers import ALONE

SAMPLES = 32  # of the step: what does not fit does not fit a small batch either, and teachers are asked about each


def rehearse(
    model: nn.Module,
    losses: Sequence[Loss],
    data: TrainingData,
    options: TrainingOptions,
    *,
    seed: int,
    section: str,
    teachers: Mapping[str, Teaching] = NOBODY,
    peers: Mapping[str, nn.Module] = ALONE_IN_CLASS,
) -> None:
    """As `loop.train` with the same arguments begins, on the processor and with few samples; `model` and `peers` are
    changed.

    Raises:
        ConfigError: a loss, an optimizer or an augmentation does not fit the networks or the data, or fails.
    """
    for each in (model, *peers.values()):
        lay_out(each)
    views = Views(data.train, data.contract, options, seed=seed, section=section)
    room = classroom(model, teachers, losses, section, peers)
    batch = views.batch(np.arange(min(views.batch_size, SAMPLES)), 0)
    found = room.dry_pass(batch, classes=len(data.contract.classes), samples=len(data.train))
    shapes: dict[str, Shapes] = {STUDENT: found.shapes, **found.peers}
    trained = {
        name: prepared(
            name,
            network,
            losses,
            shapes[name],
            options,
            seed=seed,
            device=torch.device("cpu"),
            group=SINGLE,
            section=section,
        )
        for name, network in room.learners.items()
    }
    alone = replace(trained.pop(STUDENT), peers=trained)
    taps = {name: room.taps_of(name) for name in room.learners}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        everybody = learners(alone, taps, dict.fromkeys(room.learners, seed), batch, ALONE)
        for learner in everybody:
            learner.begin(0)
        attempts = [learner.attempt(batch) for learner in everybody]
        lessons = room.lessons(batch, [each.answers for each in attempts], 0.0)
        for learner, attempt, lesson in zip(everybody, attempts, lessons, strict=True):
            learner.learn(attempt, lesson, options.learning_rate)
