"""What it gains that the memory of a training step is kept for the next one: python benchmarks/training_allocator.py

The networks of a pipeline, trained with edgekd's loop from the labels of some of its images, with freed memory kept and
with it given back to the system, in turn, each time in a process of its own. Prints the ratio of images a second within
a round, and the most memory that a process took.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import cast
from unittest.mock import patch

import numpy as np

from edgekd.agent.machine import cpu_facts
from edgekd.config.pipeline import load_pipeline
from edgekd.data.base import Dataset
from edgekd.data.modalities.base import contract_for
from edgekd.data.samples import Split
from edgekd.models.base import Model
from edgekd.progress import Silent
from edgekd.stages.session import share_processor

PIPELINE = Path(__file__).resolve().parents[1] / "pipelines" / "cifar10.yaml"
NETWORKS = {"teacher": 1, "student": 4}
"""Each with how many times the images it is shown."""
MEMORY = ("kept", "given back")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", nargs="?", type=Path, default=PIPELINE)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=3072, help="that the teacher is shown; a student 4 times")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)  # the file of images, network, memory
    options = parser.parse_args()
    if options.train:
        file, network, memory = options.train
        print(*trained(options.pipeline, Path(file), network, memory))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.npz"
        data = cast("Dataset", load_pipeline(options.pipeline).config.data).load(Silent()).train
        rows = np.random.default_rng(0).integers(len(data), size=options.images)
        np.savez(file, samples=data.samples[rows], labels=data.labels[rows])
        for network in NETWORKS:
            found: dict[str, list[tuple[float, float]]] = {memory: [] for memory in MEMORY}
            for _ in range(options.rounds):
                for memory, each in found.items():
                    each.append(in_a_process(options.pipeline, file, network, memory))
            report(network, *found.values())


def report(network: str, kept: list[tuple[float, float]], given_back: list[tuple[float, float]]) -> None:
    ratios = [mine[0] / other[0] for mine, other in zip(kept, given_back, strict=True)]
    mine, other = (statistics.median(rate for rate, _ in each) for each in (kept, given_back))
    print(
        f"{network}: {mine:,.0f} images/s where {other:,.0f}: {statistics.median(ratios):.2f} times "
        f"[{min(ratios):.2f}, {max(ratios):.2f}]; {max(most for _, most in kept):.2f} GiB "
        f"where {max(most for _, most in given_back):.2f}",
        flush=True,
    )


def in_a_process(pipeline: Path, file: Path, network: str, memory: str) -> tuple[float, float]:
    """Images a second, and GiB at most."""
    command = [sys.executable, __file__, str(pipeline), "--train", str(file), network, memory]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    rate, most = map(float, done.stdout.split())
    return rate, most


def trained(pipeline: Path, file: Path, network: str, memory: str) -> tuple[float, float]:
    share_processor()
    from edgekd.training.execution import execution_here
    from edgekd.training.loop import TrainingData, train
    from edgekd.training.losses.cross_entropy import CrossEntropy
    from edgekd.training.network import build_network

    config = load_pipeline(pipeline).config
    with np.load(file) as images:
        shown = np.tile(np.arange(len(images["labels"])), NETWORKS[network])
        split = Split(images["samples"][shown], images["labels"][shown])
    contract = contract_for("image", split.samples, tuple(map(str, range(int(split.labels.max()) + 1))))
    options = (config.teacher if network == "teacher" else config.distill).model_copy(update={"epochs": 1})
    built = build_network(cast("Model", getattr(config, network).model), contract, 0)
    data = TrainingData(split, split.take(np.arange(100)), contract)
    changed = nullcontext() if memory == "kept" else patch("edgekd.training.workers.keep_freed_memory")
    with tempfile.TemporaryDirectory() as work, changed:
        result = train(
            built,
            [CrossEntropy(use="cross_entropy")],
            data,
            options,
            seed=0,
            execution=execution_here(options, cpu_facts()["isa"]),
            work=Path(work),
            progress=Silent(),
            section=network,
            name=network,
        )
    assert result.speed is not None, "every step was done now"
    return result.speed.samples_per_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
