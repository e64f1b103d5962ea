"""The one training loop: any network, from labels, from teachers, or from both."""

from __future__ import annotations

import hashlib
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from torch import nn
from torch.optim import AdamW

from edgekd.config.training import TrainingOptions
from edgekd.data.samples import Split
from edgekd.errors import StageError
from edgekd.progress import Advance, Progress
from edgekd.records.base import digest
from edgekd.records.contract import ModelContract
from edgekd.records.training import Epoch, TrainingHistory
from edgekd.training.checkpoint import DamagedCheckpointError, Trained, load_checkpoint, save_checkpoint
from edgekd.training.classroom import Classroom, classroom
from edgekd.training.evaluate import count_right
from edgekd.training.layout import lay_out
from edgekd.training.losses.base import Loss
from edgekd.training.objective import Objective, objective_from
from edgekd.training.teachers import Teaching
from edgekd.training.threads import threads_for
from edgekd.training.views import Views

Precision = Literal["float32", "bfloat16"]
NOBODY: Mapping[str, Teaching] = MappingProxyType({})


@dataclass(frozen=True)
class TrainingData:
    """What is learned from and what choices are made on; the test samples are no part of it."""

    train: Split
    validation: Split
    contract: ModelContract


@dataclass(frozen=True)
class TrainingResult:
    """`seconds` counts every epoch, those before an interruption too."""

    history: TrainingHistory
    seconds: float


@dataclass(frozen=True)
class _Course:
    """What stays the same from epoch to epoch. rates: the learning rate of every step of the training."""

    here: Classroom
    trained: Trained
    views: Views
    rates: Sequence[float]
    options: TrainingOptions
    precision: Precision
    section: str

    def epoch(self, number: int, advance: Advance) -> tuple[float, dict[str, float]]:
        """The means over the epoch: of the weighted sum, and of each term without its weight."""
        model, objective, optimizer = self.trained.model, self.trained.objective, self.trained.optimizer
        reduced = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bfloat16")
        total = 0.0
        sums: dict[str, float] = defaultdict(float)
        model.train()
        objective.train()
        for step, batch in enumerate(self.views.epoch(number), start=number * self.views.steps):
            with reduced:
                lesson = self.here.lesson(batch, progress=step / max(1, len(self.rates) - 1))
            loss, terms = objective(lesson)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise StageError(
                    f"{self.section}: the loss became {value} in a step with learning rate {self.rates[step]:.2g}",
                    hint=f"lower {self.section}.learning_rate, which is {self.options.learning_rate:g}",
                )
            for group in optimizer.param_groups:
                group["lr"] = self.rates[step]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += value
            for name, term in terms.items():
                sums[name] += float(term)
            advance()
        return total / self.views.steps, {name: value / self.views.steps for name, value in sums.items()}


def train(
    model: nn.Module,
    losses: Sequence[Loss],
    data: TrainingData,
    options: TrainingOptions,
    *,
    seed: int,
    precision: Precision,
    work: Path,
    progress: Progress,
    section: str,
    name: str,
    teachers: Mapping[str, Teaching] = NOBODY,
) -> TrainingResult:
    """How the training went; `model` is left with the weights of the last epoch, in eval mode.

    After every epoch a checkpoint goes to `work`; called again with the same folder, it goes on after the last
    finished epoch and ends in the same weights, bit for bit on the same machine. `section` is what the file calls the
    training (`teacher`, `distill`), for errors; `name` is the network's, for what is told on the way.
    `options.precision` is not looked at: `precision` is what the caller chose.

    Raises:
        ConfigError: a loss or an augmentation does not fit the networks or the data.
        StageError: the loss became infinite or not a number.
    """
    lay_out(model)
    views = Views(data.train, data.contract, options, seed=seed, section=section)
    here = classroom(model, teachers, losses, section)
    shapes, operations = here.dry_pass(
        next(views.epoch(0)), classes=len(data.contract.classes), samples=len(data.train)
    )
    objective = objective_from(losses, shapes, _derived_seed(seed, "objective"), section)
    trained = Trained(model, objective, _optimizer(model, objective, options))
    run = digest(
        {
            "options": options.model_dump(mode="json"),
            "losses": [each.model_dump(mode="json") for each in losses],
            "teachers": list(teachers),
            "precision": precision,
            "seed": seed,
            "samples": len(data.train),
        }
    )
    epochs, seconds = _resume(work, trained, run, progress, name)
    rates = one_cycle(options, views.steps * options.epochs)
    course = _Course(here, trained, views, rates, options, precision, section)

    with threads_for(operations), progress.task(name, len(rates)) as advance:
        advance(views.steps * len(epochs))
        for number in range(len(epochs), options.epochs):
            started_s = time.perf_counter()
            with torch.random.fork_rng(devices=[]):
                # a seed for each epoch, for dropout: to go on after one, no generator's state is needed
                torch.manual_seed(_derived_seed(seed, str(number)))
                loss, terms = course.epoch(number, advance)
            done = Epoch(
                epoch=number + 1,
                learning_rate=rates[(number + 1) * views.steps - 1],
                loss=loss,
                terms=terms,
                validation_correct=count_right(model, data.validation, data.contract),
                validation_total=len(data.validation),
            )
            epochs = (*epochs, done)
            seconds += time.perf_counter() - started_s
            save_checkpoint(work, trained, run=run, epochs=epochs, seconds=seconds)
            advance(0, note=f"epoch {number + 1}/{options.epochs}, validation {done.validation_accuracy:.2%}")
    model.eval()
    return TrainingResult(TrainingHistory(precision=precision, epochs=epochs), seconds)


def one_cycle(options: TrainingOptions, steps: int) -> list[float]:
    """The learning rate of each step: up along a line to its largest, then down along a cosine, to almost zero.

    Source: Smith and Topin 2017, Super-Convergence; the cosine as in Loshchilov and Hutter 2017, SGDR, equation 5.
    """
    rising = options.warmup * steps
    rates = []
    for step in range(steps):
        at = step + 1
        share = at / rising if at <= rising else (1 + math.cos(math.pi * (at - rising) / (steps + 1 - rising))) / 2
        rates.append(options.learning_rate * share)
    return rates


def _optimizer(model: nn.Module, objective: Objective, options: TrainingOptions) -> AdamW:
    """AdamW; biases and batch norm, which have one dimension, are not decayed."""
    parameters = [each for each in (*model.parameters(), *objective.parameters()) if each.requires_grad]
    return AdamW(
        [
            {"params": [each for each in parameters if each.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=options.learning_rate,
    )


def _resume(work: Path, trained: Trained, run: str, progress: Progress, name: str) -> tuple[tuple[Epoch, ...], float]:
    """The finished epochs and their seconds; `trained` is as after the last of them."""
    try:
        state = load_checkpoint(work, trained, run=run)
    except DamagedCheckpointError as error:
        progress.say(f"warning: {name}: the checkpoint cannot be used ({error}); starting from the first epoch")
        return (), 0.0
    if state is None:
        return (), 0.0
    progress.say(f"{name}: going on after epoch {len(state.epochs)}")
    return state.epochs, state.seconds


def _derived_seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little", signed=True)
