"""The one training loop: teacher and student, with or without a teacher beside."""

from __future__ import annotations

import hashlib
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW

from edgekd.config.training import TrainingOptions
from edgekd.data.base import LabelledImages
from edgekd.errors import StageError
from edgekd.progress import Advance, Progress
from edgekd.records.base import digest
from edgekd.records.contract import ImageInput
from edgekd.records.training import Epoch, TrainingHistory
from edgekd.training.augment import augment
from edgekd.training.checkpoint import DamagedCheckpointError, Trained, load_checkpoint, save_checkpoint
from edgekd.training.evaluate import count_right, network_input
from edgekd.training.losses.base import Batch
from edgekd.training.objective import Objective
from edgekd.training.threads import forward_operations, threads_for


@dataclass(frozen=True)
class TrainingData:
    """What is learned from and what choices are made on; the test images are no part of it."""

    train: LabelledImages
    validation: LabelledImages
    image: ImageInput


@dataclass(frozen=True)
class TrainingResult:
    """`seconds` counts every epoch, those before an interruption too."""

    history: TrainingHistory
    seconds: float


def train(
    model: nn.Module,
    objective: Objective,
    data: TrainingData,
    options: TrainingOptions,
    *,
    seed: int,
    work: Path,
    progress: Progress,
    label: str,
    teacher: nn.Module | None = None,
) -> TrainingResult:
    """How the training went; `model` is left with the weights of the last epoch, in eval mode.

    After every epoch a checkpoint goes to `work`; called again with the same folder, it goes on after the last
    finished epoch and ends in the same weights, bit for bit on the same machine. `label` names the section of the
    file (`teacher`, `distill`) in what the user sees. `teacher` is only asked: its weights and statistics stay.

    Raises:
        StageError: the loss became infinite or not a number.
    """
    model.to(memory_format=torch.channels_last)
    if teacher is not None:
        teacher.eval().to(memory_format=torch.channels_last)
    steps = len(data.train) // min(options.batch_size, len(data.train))
    precision = precision_of(options)
    trained = Trained(model, objective, _optimizer(model, objective, options))
    run = digest({"options": options.model_dump(mode="json"), "seed": seed, "images": len(data.train)})
    epochs, seconds = _resume(work, trained, run, progress, label)

    first = network_input(data.train.images[: options.batch_size], data.image)
    operations = forward_operations([each for each in (model, teacher) if each is not None], first)
    with threads_for(operations), progress.task(label, steps * options.epochs) as advance:
        advance(steps * len(epochs))
        for number in range(len(epochs), options.epochs):
            started_s = time.perf_counter()
            rates = one_cycle(options, steps * options.epochs)[number * steps : (number + 1) * steps]
            with torch.random.fork_rng(devices=[]):
                # a seed for each epoch: to go on after one, no generator's state is needed
                torch.manual_seed(_derived_seed(seed, number))
                loss, terms = _one_epoch(trained, teacher, data, options, rates, precision, advance, label)
            done = Epoch(
                epoch=number + 1,
                learning_rate=rates[-1],
                loss=loss,
                terms=terms,
                validation_correct=count_right(model, data.validation, data.image),
                validation_total=len(data.validation),
            )
            epochs = (*epochs, done)
            seconds += time.perf_counter() - started_s
            save_checkpoint(work, trained, run=run, epochs=epochs, seconds=seconds)
            advance(0, note=f"epoch {number + 1}/{options.epochs}, validation {done.validation_accuracy:.2%}")
    model.eval()
    return TrainingResult(TrainingHistory(precision=precision, epochs=epochs), seconds)


def _one_epoch(
    trained: Trained,
    teacher: nn.Module | None,
    data: TrainingData,
    options: TrainingOptions,
    rates: list[float],
    precision: str,
    advance: Advance,
    label: str,
) -> tuple[float, dict[str, float]]:
    """The means over the epoch: of the weighted sum, and of each term without its weight."""
    black = network_input(np.zeros((1, 1, 1, data.image.channels), dtype=np.uint8), data.image).reshape(-1)
    # a ragged last batch is left out: another one in each epoch
    order = torch.randperm(len(data.train)).numpy()[: len(rates) * min(options.batch_size, len(data.train))]
    reduced = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    total = 0.0
    sums: dict[str, float] = defaultdict(float)
    trained.model.train()
    trained.objective.train()
    for rate, rows in zip(rates, np.split(order, len(rates)), strict=True):
        inputs = augment(network_input(data.train.images[rows], data.image), options.augment, black)
        with reduced:
            logits = trained.model(inputs)
            with torch.no_grad():
                soft = None if teacher is None else teacher(inputs).float()
        batch = Batch(student=logits.float(), teacher=soft, labels=torch.from_numpy(data.train.labels[rows]))
        loss, terms = trained.objective(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise StageError(
                f"{label}: the loss became {value} in a step with learning rate {rate:.2g}",
                hint=f"lower {label}.learning_rate, which is {options.learning_rate:g}",
            )
        for group in trained.optimizer.param_groups:
            group["lr"] = rate
        trained.optimizer.zero_grad()
        loss.backward()
        trained.optimizer.step()
        total += value
        for name, term in terms.items():
            sums[name] += float(term)
        advance()
    return total / len(rates), {name: value / len(rates) for name, value in sums.items()}


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


def precision_of(options: TrainingOptions) -> str:
    """`float32` or `bfloat16`; without instructions for it, bfloat16 is slower than float32."""
    if options.precision != "auto":
        return options.precision
    abilities = torch.cpu.get_capabilities()
    return "bfloat16" if abilities.get("avx512_bf16") or abilities.get("amx_bf16") else "float32"


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


def _resume(work: Path, trained: Trained, run: str, progress: Progress, label: str) -> tuple[tuple[Epoch, ...], float]:
    """The finished epochs and their seconds; `trained` is as after the last of them."""
    try:
        state = load_checkpoint(work, trained, run=run)
    except DamagedCheckpointError as error:
        progress.say(f"warning: {label}: the checkpoint cannot be used ({error}); starting from the first epoch")
        return (), 0.0
    if state is None:
        return (), 0.0
    progress.say(f"{label}: going on after epoch {len(state.epochs)}")
    return state.epochs, state.seconds


def _derived_seed(seed: int, epoch: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:8], "little", signed=True)
