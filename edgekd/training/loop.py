"""The one training loop: any network, from labels, from teachers, or from both."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.config.component import identity
from edgekd.config.training import TrainingOptions
from edgekd.data.samples import Split
from edgekd.errors import ConfigError, StageError
from edgekd.progress import Advance, Progress
from edgekd.records.base import digest
from edgekd.records.contract import ModelContract
from edgekd.records.training import Epoch, TrainingHistory
from edgekd.training.averaging import Average
from edgekd.training.checkpoint import DamagedCheckpointError, Trained, load_checkpoint, save_checkpoint
from edgekd.training.classroom import Classroom, classroom
from edgekd.training.evaluate import count_right
from edgekd.training.execution import Execution
from edgekd.training.group import SINGLE, Group
from edgekd.training.layout import lay_out
from edgekd.training.losses.base import Loss
from edgekd.training.objective import objective_from
from edgekd.training.optimizers.base import Optimizer, set_learning_rate
from edgekd.training.recorded import Recordings, with_recordings
from edgekd.training.replicas import Replicas
from edgekd.training.teachers import Teaching
from edgekd.training.views import Views
from edgekd.training.workers import Workers
from edgekd.training.workload import Speed, settled, speed

NOBODY: Mapping[str, Teaching] = MappingProxyType({})
LOOK_EVERY = 32
"""Steps between looks at the loss: on an accelerator each look waits for all that was asked of it."""


@dataclass(frozen=True)
class TrainingData:
    """What is learned from and what choices are made on; the test samples are no part of it."""

    train: Split
    validation: Split
    contract: ModelContract


@dataclass(frozen=True)
class TrainingResult:
    """seconds: of every epoch, those before an interruption too; speed: None where no step was left to do."""

    history: TrainingHistory
    seconds: float
    speed: Speed | None


@dataclass(frozen=True)
class _Course:
    """What stays the same from epoch to epoch. rates: the learning rate of every step of the training."""

    room: Classroom
    student: Replicas
    trained: Trained
    views: Views
    rates: Sequence[float]
    options: TrainingOptions
    workers: Workers
    section: str

    def epoch(self, number: int, advance: Advance) -> tuple[float, dict[str, float]]:
        """The means over the epoch: of the weighted sum, and of each term without its weight."""
        objective, optimizer = self.trained.objective, self.trained.optimizer
        losses: list[Tensor] = []
        sums: dict[str, Tensor] = {}
        self.student.train()
        objective.train()
        for step, batch in enumerate(self.views.epoch(number, self.workers), start=number * self.views.steps):
            attempt = self.student.attempt(batch.inputs, self.room.student_taps)
            lesson = self.room.lesson(batch, attempt.answers, step / max(1, len(self.rates) - 1), self.workers)
            optimizer.zero_grad()
            loss, terms = objective(lesson)
            loss.backward()
            attempt.backward()
            set_learning_rate(optimizer, self.rates[step])
            optimizer.step()
            if self.trained.average is not None:
                self.trained.average.update_parameters(self.trained.model)
            losses.append(loss.detach())
            for name, term in terms.items():
                sums[name] = sums[name] + term if name in sums else term.clone()
            if len(losses) % LOOK_EVERY == 0 or len(losses) == self.views.steps:
                self._check(losses, number * self.views.steps)
            advance()
        self.student.agree()
        steps = self.views.steps
        return float(torch.stack(losses).mean()), {name: float(each) / steps for name, each in sums.items()}

    def _check(self, losses: Sequence[Tensor], first: int) -> None:
        recent = torch.stack(list(losses[-LOOK_EVERY:])).tolist()
        for step, value in enumerate(recent, start=first + len(losses) - len(recent)):
            if not math.isfinite(value):
                raise StageError(
                    f"{self.section}: the loss became {value} in a step with learning rate {self.rates[step]:.2g}",
                    hint=f"lower {self.section}.learning_rate, which is {self.options.learning_rate:g}",
                )


def train(
    model: nn.Module,
    losses: Sequence[Loss],
    data: TrainingData,
    options: TrainingOptions,
    *,
    seed: int,
    execution: Execution,
    work: Path,
    progress: Progress,
    section: str,
    name: str,
    teachers: Mapping[str, Teaching] = NOBODY,
    recordings: Recordings | None = None,
    group: Group = SINGLE,
) -> TrainingResult:
    """How the training went; `model` is left with the weights of the last epoch, on the processor and in eval mode.

    After every epoch a checkpoint goes to `work`; called again with the same folder, it goes on after the last
    finished epoch and ends in the same weights, bit for bit on the same machine. `section` is what the file calls the
    training (`teacher`, `distill`), for errors; `name` is the network's, for what is told on the way. What `options`
    say of the arithmetic is not looked at: `execution` is what the caller chose. recordings: where teachers'
    answers to these samples are kept; without it they are asked in every step. group: the processes that all call this
    with the same arguments; only what its first one has in `work` and writes there counts.

    Raises:
        ConfigError: a loss or an augmentation does not fit the networks or the data.
        StageError: the loss became infinite or not a number.
    """
    lay_out(model)
    views = Views(data.train, data.contract, options, seed=seed, section=section)
    room = classroom(model, teachers, losses, section)
    first = views.batch(np.arange(views.batch_size), 0)
    found = room.dry_pass(first, classes=len(data.contract.classes), samples=len(data.train))
    objective = objective_from(losses, found.shapes, _derived_seed(seed, "objective"), section)
    group.copy([*model.state_dict().values(), *objective.state_dict().values()])
    execution = settled(group.same(execution), model, first, found, shards=options.shards, section=section)
    device = torch.device(execution.device)
    model.to(device)
    objective.to(device)
    views.reside(device)
    optimizer = cast("Optimizer", options.optimizer).build(
        model, objective, options, classes=len(data.contract.classes)
    )
    average = _average(model, options, section)
    trained = Trained(model, objective, optimizer, average)
    run = digest(
        {
            "options": identity(options),
            "losses": [each.model_dump(mode="json") for each in losses],
            "teachers": list(teachers),
            "execution": asdict(execution),
            "seed": seed,
            "samples": len(data.train),
        }
    )
    epochs, seconds = _resume(work, trained, run, progress, name, group)
    rates = one_cycle(options, views.steps * options.epochs)

    with Workers(execution, group, options.looks) as workers, progress.task(name, len(rates)) as advance:
        if recordings is not None:
            shown = digest({"seed": seed, "execution": asdict(execution), "looks": options.looks})
            room = with_recordings(room, found, views, recordings, shown, lambda note: advance(0, note=note))
        student = Replicas(model, workers)
        kept = student if average is None else Replicas(average.module, workers)
        course = _Course(room, student, trained, views, rates, options, workers, section)
        advance(views.steps * len(epochs))
        steps_s, begun = 0.0, len(epochs)
        for number in range(len(epochs), options.epochs):
            epoch_s = time.perf_counter()
            with torch.random.fork_rng(devices=[]):
                # a seed for each epoch, for dropout: to go on after one, no generator's state is needed
                torch.manual_seed(_derived_seed(seed, str(number)))
                loss, terms = course.epoch(number, advance)
            steps_s += time.perf_counter() - epoch_s
            kept.copy_buffers()
            done = Epoch(
                epoch=number + 1,
                learning_rate=rates[(number + 1) * views.steps - 1],
                loss=loss,
                terms=terms,
                validation_correct=count_right(kept, data.validation, data.contract),
                validation_total=len(data.validation),
            )
            epochs = (*epochs, done)
            seconds += time.perf_counter() - epoch_s
            if group.leads:
                save_checkpoint(work, trained, run=run, epochs=epochs, seconds=seconds)
            advance(0, note=f"epoch {number + 1}/{options.epochs}, validation {done.validation_accuracy:.2%}")
        shown_at_once = views.batch_size * options.looks
        samples = (options.epochs - begun) * views.steps * shown_at_once
        reached = speed(workers, found.operations, samples, shown_at_once, steps_s) if samples else None
    if average is not None:
        average.give(model)
    model.to("cpu").eval()
    return TrainingResult(TrainingHistory(**asdict(execution), epochs=epochs), seconds, reached)


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


def _average(model: nn.Module, options: TrainingOptions, section: str) -> Average | None:
    if not options.averaging:
        return None
    try:
        return Average(model, options.averaging)
    except Exception as error:
        what = f"the network cannot be copied: {error}"
        raise ConfigError(what, where=f"{section}.averaging", hint="leave `averaging` out") from error


def _resume(
    work: Path, trained: Trained, run: str, progress: Progress, name: str, group: Group
) -> tuple[tuple[Epoch, ...], float]:
    """The finished epochs and their seconds; `trained` is as after the last of them, in every process."""
    state = None
    try:
        if group.leads:
            state = load_checkpoint(work, trained, run=run)
    except DamagedCheckpointError as error:
        progress.say(f"warning: {name}: the checkpoint cannot be used ({error}); starting from the first epoch")
    state, tensors = group.same((state, trained.tensors() if state is not None and group.size > 1 else {}))
    if state is None:
        return (), 0.0
    if tensors:
        trained.restore(tensors)
    progress.say(f"{name}: going on after epoch {len(state.epochs)}")
    return state.epochs, state.seconds


def _derived_seed(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little", signed=True)
