"""How much there is to compute in a step, and how that is best done and how fast it went."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edgekd.errors import ConfigError
from edgekd.training.execution import SMALLEST_SHARD, Execution
from edgekd.training.lesson import Batch, Shapes
from edgekd.training.replicas import batch_norm_statistics, obstacle
from edgekd.training.workers import Workers

SMALLEST_WITHOUT_BATCH_NORM = 8
SMALL_STEP = 5e7
"""Operations of all networks' forward passes, below which a second thread gains nothing."""
CROSSING = "a layer that a loss reads gives something else than an output a sample"
BACKWARD = 2
"""Operations of a backward pass relative to its forward pass: gradients of inputs and of weights cost one each."""


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of products and convolutions in the forward passes of a batch; peers: of all."""

    student: float
    teachers: float
    peers: float = 0.0


@dataclass(frozen=True)
class DryPass:
    """What a first pass of a batch found. shapes: for the student's losses; peers: for those of each peer, by name.
    crossing: the networks, the student's own name being empty, with a tapped layer whose output does not have an entry
    for each sample, so that it cannot be cut or kept by sample."""

    shapes: Shapes
    operations: Operations
    crossing: frozenset[str] = frozenset()
    peers: Mapping[str, Shapes] = field(default_factory=dict)


def settled(
    execution: Execution,
    network: nn.Module,
    batch: Batch,
    found: DryPass,
    *,
    shards: int | str,
    section: str,
) -> Execution:
    """The execution for this network and what there is to compute in a step; shards: what the options ask for.

    A small step is done by one thread, and a network that cannot be computed in parts (`obstacle`) in one. The choice
    follows from networks and data alone, never from a clock; peers have no part in it, so that who learns beside the
    student does not change its arithmetic.

    Raises:
        ConfigError: shards are asked for that are more than the samples of a batch, or of such a network; or a batch
            cannot be shared by so many processes.
    """
    rows, operations, processes = len(batch.rows), found.operations, execution.processes
    samples = rows // batch.looks
    if samples < processes:
        raise ConfigError(
            f"a batch of {samples} samples is too small for {processes} processes",
            where=f"{section}.batch_size",
            hint=f"set it to {processes * SMALLEST_SHARD} or more, or start fewer processes",
        )
    if processes > 1 and found.crossing:
        raise ConfigError(
            f"{CROSSING}, so a batch cannot be shared by {processes} processes",
            where=f"{section}.losses",
            hint="train without torchrun, or leave that loss out",
        )
    if execution.device != "cpu":
        return execution
    asked = isinstance(shards, int)
    if not asked:
        cores = execution.shards * execution.threads
        smallest = SMALLEST_SHARD if batch_norm_statistics(network) else SMALLEST_WITHOUT_BATCH_NORM
        cut = max(1, min(cores, rows // processes // smallest))
        execution = replace(execution, shards=cut, threads=max(1, cores // cut))
        if operations.student + operations.teachers < SMALL_STEP:
            return replace(execution, shards=1, threads=1)
    elif execution.shards > samples // processes:
        raise ConfigError(
            f"{execution.shards} are more than the {samples // processes} samples of a batch",
            where=f"{section}.shards",
            hint=f"leave `shards` out, or set it to {max(1, rows // processes // SMALLEST_SHARD)} or less",
        )
    if execution.shards == 1:
        return execution
    reason = CROSSING if found.crossing else obstacle(network, tuple(batch.inputs.values()))
    if reason is None:
        return execution
    if asked:
        raise ConfigError(reason, where=f"{section}.shards", hint="leave `shards` out, or set it to 1")
    return replace(execution, shards=1, threads=execution.shards * execution.threads)


@contextmanager
def operations_of() -> Iterator[Callable[[], float]]:
    """The context yields what tells the floating-point operations of the products and convolutions done in it."""
    layer = torch.ops.aten.mkldnn_rnn_layer  # an LSTM on the processor, which the counter does not know
    with FlopCounterMode(display=False, custom_mapping={layer: _recurrent}) as counter:
        yield lambda: float(counter.get_total_flops())


def _recurrent(inputs: Sequence[int], taken: Sequence[int], kept: Sequence[int], *_: object, **__: object) -> int:
    """One direction of one recurrent layer. inputs: (steps, samples, features), in either order of the first two;
    taken, kept: the shapes of the weights of its inputs and of its state, of all gates together."""
    return 2 * inputs[0] * inputs[1] * (math.prod(taken) + math.prod(kept))


@dataclass(frozen=True)
class Speed:
    """samples_per_s: in training steps, one that is shown in two views counting twice. matrix_share: of the rate of
    plain matrix products on the same threads."""

    samples_per_s: float
    matrix_share: float


def speed(workers: Workers, operations: Operations, samples: int, batch: int, seconds: float) -> Speed:
    """samples, seconds: of the training steps; batch: samples in each; what teachers compute counts as time only."""
    done = samples / batch * (operations.student + operations.peers) * (1 + BACKWARD)
    return Speed(samples / seconds, done / seconds / matrix_rate(workers))


def matrix_rate(workers: Workers, *, seconds: float = 0.15) -> float:
    """The operations a second that matrix products reach on all workers at once: what a step could reach at best."""

    size = 768 if workers.device.type == "cpu" else 8192

    def part(_shard: int) -> float:
        left, right = (torch.ones(size, size, device=workers.device) for _ in range(2))
        with torch.no_grad(), workers.arithmetic():
            float((left @ right)[0, 0])  # the first one finds its way through the library
            started_s, count = time.perf_counter(), 0
            while time.perf_counter() - started_s < seconds:
                float((left @ right)[0, 0])  # waits for an accelerator
                count += 1
            took_s = time.perf_counter() - started_s
        return count * 2 * size**3 / took_s

    return sum(workers.each(part))
