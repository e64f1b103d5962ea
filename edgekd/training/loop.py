"""The one training loop: any network, from labels, from teachers, or from both."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.config.component import identity
from edgekd.config.training import TrainingOptions
from edgekd.data.samples import Split
from edgekd.errors import StageError
from edgekd.progress import Advance, Progress
from edgekd.records.base import digest
from edgekd.records.contract import ModelContract
from edgekd.records.training import Epoch, TrainingHistory
from edgekd.training.checkpoint import DamagedCheckpointError, Trained, load_checkpoint, save_checkpoint
from edgekd.training.classroom import ALONE_IN_CLASS, STUDENT, Classroom, classroom
from edgekd.training.evaluate import count_right
from edgekd.training.execution import Execution
from edgekd.training.group import SINGLE, Group
from edgekd.training.layout import lay_out
from edgekd.training.learner import Learner, learners, prepared
from edgekd.training.lesson import Shapes
from edgekd.training.losses.base import Loss
from edgekd.training.recorded import Recordings, with_recordings
from edgekd.training.seeds import derived_seed, peer_seed
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
    """seconds: of every epoch, those before an interruption too; speed: None where no step was left to do; peers: how
    many validation samples each peer has right in the end, by name."""

    history: TrainingHistory
    seconds: float
    speed: Speed | None
    peers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Course:
    """What stays the same from epoch to epoch. learners: the student first; rates: the learning rate of every step of
    the training."""

    room: Classroom
    learners: Sequence[Learner]
    views: Views
    rates: Sequence[float]
    options: TrainingOptions
    workers: Workers
    section: str

    def epoch(self, number: int, advance: Advance) -> tuple[float, dict[str, float]]:
        """The means over the epoch, of the student: of the weighted sum, and of each term without its weight.

        All who learn answer a batch before any of them takes its step.
        """
        losses: dict[str, list[Tensor]] = {each.name: [] for each in self.learners}
        recent = {each.name: deque[Mapping[str, Tensor]](maxlen=LOOK_EVERY) for each in self.learners}
        sums: dict[str, Tensor] = {}
        for each in self.learners:
            each.begin(number)
        steps = self.views.steps
        for step, batch in enumerate(self.views.epoch(number, self.workers), start=number * steps):
            attempts = [each.attempt(batch) for each in self.learners]
            progress = step / max(1, len(self.rates) - 1)
            lessons = self.room.lessons(batch, [each.answers for each in attempts], progress, self.workers)
            for each, attempt, lesson in zip(self.learners, attempts, lessons, strict=True):
                loss, terms = each.learn(attempt, lesson, self.rates[step])
                losses[each.name].append(loss)
                recent[each.name].append(terms)
                if each.name == STUDENT:
                    for name, term in terms.items():
                        sums[name] = sums[name] + term if name in sums else term.clone()
            done = step + 1 - number * steps
            if done % LOOK_EVERY == 0 or done == steps:
                for name, values in losses.items():
                    self._check(name, values, recent[name], number * steps)
            advance()
        for each in self.learners:
            each.network.agree()
        mean = float(torch.stack(losses[STUDENT]).mean())
        return mean, {name: float(each) / steps for name, each in sums.items()}

    def _check(self, learner: str, losses: Sequence[Tensor], terms: Iterable[Mapping[str, Tensor]], first: int) -> None:
        """terms: of the last LOOK_EVERY of these losses."""
        recent = torch.stack(list(losses[-LOOK_EVERY:])).tolist()
        for step, (value, parts) in enumerate(zip(recent, terms, strict=True), start=first + len(losses) - len(recent)):
            if not math.isfinite(value):
                whose = f" of {learner}" if learner else ""
                wrong = [name for name, part in parts.items() if not math.isfinite(float(part))]
                because = f" through {' and '.join(wrong)}" if 0 < len(wrong) < len(parts) else ""
                raise StageError(
                    f"{self.section}: the loss{whose} became {value}{because} in a step with learning rate "
                    f"{self.rates[step]:.2g}",
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
    peers: Mapping[str, nn.Module] = ALONE_IN_CLASS,
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

    peers: networks that are trained beside it on the same batches, by the same losses and options, each learning from
    what the others say in the same step as from a teacher (`Classroom`); none of their numbers, random ones included,
    reaches `model` but through its losses. They are left as `model` is.

    Source: Zhang, Xiang, Hospedales and Lu 2018, Deep Mutual Learning, equations 6 to 8: cross-entropy and, of T = 1,
    `kd`, whose mean over several peers is theirs. In algorithm 1 the second network hears the first after its step;
    here, as in equation 7 for more than two, all hear each other before.

    Raises:
        ConfigError: a loss or an augmentation does not fit the networks or the data.
        StageError: the loss became infinite or not a number.
    """
    for each in (model, *peers.values()):
        lay_out(each)
    views = Views(data.train, data.contract, options, seed=seed, section=section)
    room = classroom(model, teachers, losses, section, peers)
    first = views.batch(np.arange(views.batch_size), 0)
    found = room.dry_pass(first, classes=len(data.contract.classes), samples=len(data.train))
    seeds = {STUDENT: seed, **{name: peer_seed(seed, name) for name in peers}}
    execution = settled(group.same(execution), model, first, found, shards=options.shards, section=section)
    device = torch.device(execution.device)
    views.reside(device)

    def ready(name: str, shapes: Shapes) -> Trained:
        network = room.learners[name]
        return prepared(
            name, network, losses, shapes, options, seed=seeds[name], device=device, group=group, section=section
        )

    alone = ready(STUDENT, found.shapes)
    trained = replace(alone, peers={name: ready(name, shapes) for name, shapes in found.peers.items()})
    run = digest(
        {
            "options": identity(options),
            "losses": [each.model_dump(mode="json") for each in losses],
            "teachers": list(teachers),
            "peers": list(peers),
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
        taps = {each: room.taps_of(each) for each in room.learners}
        student, *others = everybody = learners(trained, taps, seeds, first, workers)
        course = _Course(room, everybody, views, rates, options, workers, section)
        advance(views.steps * len(epochs))
        steps_s, begun = 0.0, len(epochs)
        for number in range(len(epochs), options.epochs):
            epoch_s = time.perf_counter()
            with torch.random.fork_rng(devices=[]):
                # a seed for each epoch, for dropout: to go on after one, no generator's state is needed
                torch.manual_seed(derived_seed(seed, str(number)))
                loss, terms = course.epoch(number, advance)
            steps_s += time.perf_counter() - epoch_s
            for learner in everybody:
                learner.kept.copy_buffers()
            done = Epoch(
                epoch=number + 1,
                learning_rate=rates[(number + 1) * views.steps - 1],
                loss=loss,
                terms=terms,
                validation_correct=count_right(student.kept, data.validation, data.contract),
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
        right = {each.name: count_right(each.kept, data.validation, data.contract) for each in others}
    for ended in (trained, *trained.peers.values()):
        if ended.average is not None:
            ended.average.give(ended.model)
        ended.model.to("cpu").eval()
    return TrainingResult(TrainingHistory(**asdict(execution), epochs=epochs), seconds, reached, right)


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
