"""What torch.compile gains in a training step, and what compiling costs: python benchmarks/training_compile.py

The networks of pipelines/mnist.yaml, one forward and backward pass of a shard of 64 images on one thread, bfloat16
where the processor has it, compiled and not in turn. Prints the ratio of their rates, its range over the rounds, and
after how many images the compiling is paid. Needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import cast

import torch
from torch import nn
from torch.nn import functional
from training_loops import Job

from edgekd.agent.machine import cpu_facts
from edgekd.models.base import Model
from edgekd.training.execution import execution_here
from edgekd.training.layout import lay_out
from edgekd.training.workers import Workers

SHARD = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="of each round")
    options = parser.parse_args()
    job = Job(1)
    networks: dict[str, object] = {"teacher": job.config.teacher.model, "student": job.config.student.model}
    for name, model in networks.items():
        execution = execution_here(job.config.teacher, cpu_facts())
        with Workers(execution) as workers, workers.arithmetic():
            torch.set_num_threads(1)
            report(name, job.network(cast("Model", model)), options.rounds, options.steps)


def report(name: str, network: nn.Module, rounds: int, steps: int) -> None:
    lay_out(network.train())
    compiled = cast("nn.Module", torch.compile(network))
    begun_s = time.perf_counter()
    rate(compiled, 2)
    compiling_s = time.perf_counter() - begun_s
    plain_rates, ratios = [], []
    for _ in range(rounds):
        plain = rate(network, steps)
        plain_rates.append(plain)
        ratios.append(rate(compiled, steps) / plain)
    ratio = statistics.median(ratios)
    saved_s = (1 - 1 / ratio) / statistics.median(plain_rates)
    paid = f"paid after {compiling_s / saved_s:,.0f} images" if saved_s > 0 else "never paid"
    print(
        f"{name}: compiled {ratio:.2f} times as fast [{min(ratios):.2f}, {max(ratios):.2f}] after {compiling_s:.0f} s "
        f"of compiling, {paid}"
    )


def rate(network: nn.Module, steps: int) -> float:
    """Images a second of `steps` forward and backward passes."""
    images = torch.zeros(SHARD, 1, 28, 28).to(memory_format=torch.channels_last)
    labels = torch.zeros(SHARD, dtype=torch.int64)
    begun_s = time.perf_counter()
    for _ in range(steps):
        functional.cross_entropy(network(images).float(), labels).backward()  # type: ignore[no-untyped-call]
    return steps * SHARD / (time.perf_counter() - begun_s)


if __name__ == "__main__":
    main()
