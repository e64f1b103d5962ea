"""How the arithmetic of a training is done on this machine; it needs no torch, for a cached run asks too."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from edgekd.config.training import TrainingOptions

Precision = Literal["float32", "bfloat16"]
SMALLEST_SHARD = 32
"""Samples; batch norm takes its statistics from a shard, and fewer would make them poor."""


@dataclass(frozen=True)
class Execution:
    """Everything of a machine that changes the last bits of what is trained on it.

    shards: into how many a batch is cut; threads: of torch's own, for each of them.
    """

    precision: Precision = "float32"
    shards: int = 1
    threads: int = 1


def execution_here(options: TrainingOptions, isa: Collection[str]) -> Execution:
    """What the options ask for, and where they say `auto` what suits this processor: bfloat16 where it has instructions
    for it, for without them it is slower than float32, and a shard for each core.

    isa: the processor's instruction sets, by the kernel's names.
    """
    precision = options.precision
    if precision == "auto":
        precision = "bfloat16" if {"avx512_bf16", "amx_bf16"} & set(isa) else "float32"
    cores = usable_cores()
    asked = options.shards
    shards = asked if isinstance(asked, int) else max(1, min(cores, options.batch_size // SMALLEST_SHARD))
    return Execution(precision, shards, max(1, cores // shards))


def usable_cores() -> int:
    """The cores that this process may use; OMP_NUM_THREADS lowers it, as for every program that computes."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return min(usable, int(wanted)) if wanted.isdigit() and int(wanted) > 0 else usable
