"""How the arithmetic of a training is done on this machine; it needs no torch, for a cached run asks too."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training.accelerators import accelerators

Precision = Literal["float32", "bfloat16"]
SMALLEST_SHARD = 32
"""Samples; batch norm takes its statistics from a shard, and fewer would make them poor."""


@dataclass(frozen=True)
class Execution:
    """Everything of a machine that changes the last bits of what is trained on it.

    shards: into how many each process cuts its part of a batch; threads: of torch's own, for each of them; device: as
    torch calls it; processes: that train together.
    """

    precision: Precision = "float32"
    shards: int = 1
    threads: int = 1
    device: str = "cpu"
    processes: int = 1


@dataclass(frozen=True)
class Place:
    """Which of the processes this is that torchrun started, by its own variables: the first of one without torchrun.

    rank: among all; local: among those of this machine, each of which takes a GPU of its own.
    """

    rank: int = 0
    size: int = 1
    local: int = 0


def place_here() -> Place:
    """As torchrun says."""
    rank, size, local = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not (rank.isdigit() and size.isdigit() and os.environ.get("MASTER_ADDR")):
        return Place()
    return Place(int(rank), int(size), int(local) if local.isdigit() else 0)


def execution_here(options: TrainingOptions, isa: Collection[str]) -> Execution:
    """What the options ask for, and where they say `auto` what suits this machine: an accelerator if there is one,
    bfloat16 where the device has instructions for it, for without them it is slower than float32, and on the processor
    a shard for each core.

    isa: the processor's instruction sets, by the kernel's names.

    Raises:
        ConfigError: the options ask for an accelerator that is not here.
    """
    found = {} if options.device == "cpu" else accelerators()
    device = next(iter(found), "cpu") if options.device == "auto" else options.device
    if device != "cpu" and device not in found:
        there = f"there is {', '.join(found)}" if found else "there is none, or torch is not built for it"
        raise ConfigError(f"this machine has no {device} device that torch can use: {there}", hint="device: auto")
    fast = found[device].bfloat16 if device in found else bool({"avx512_bf16", "amx_bf16"} & set(isa))
    precision = options.precision
    if precision == "auto":
        precision = "bfloat16" if fast else "float32"
    cores, processes = usable_cores(), place_here().size
    asked = options.shards
    if device != "cpu":
        shards = 1
    elif isinstance(asked, int):
        shards = asked
    else:
        shards = max(1, min(cores, options.looks * options.batch_size // processes // SMALLEST_SHARD))
    return Execution(precision, shards, max(1, cores // shards), device, processes)


def usable_cores() -> int:
    """The cores that this process may use; OMP_NUM_THREADS lowers it, as for every program that computes."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(usable, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else usable
