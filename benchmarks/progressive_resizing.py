"""Whether smaller images at first make a better network in the same time: python benchmarks/progressive_resizing.py

Trains MNIST's teacher from Fashion-MNIST's images and labels with several seeds: `--epochs` epochs of whole images;
and `--small` epochs of images of `--side` pixels (bilinear, after augmentation), then as many whole ones as the time is
left for. Says how the accuracy on validation samples differs, paired by seed, with a 95 % interval of the mean, and
what both took.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast
from unittest.mock import patch

from torch.nn import functional

from edgekd.agent.machine import cpu_facts
from edgekd.config.pipeline import load_pipeline
from edgekd.data.base import Dataset
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.harness.scoring import gain_over_seeds
from edgekd.models.base import Model
from edgekd.progress import Silent
from edgekd.stages.session import share_processor
from edgekd.training.execution import execution_here
from edgekd.training.learner import Learner
from edgekd.training.lesson import Batch
from edgekd.training.loop import TrainingData, TrainingResult, train
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.network import build_network
from edgekd.training.replicas import Attempt

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="of whole images")
    parser.add_argument("--small", type=int, default=4, help="epochs of small images")
    parser.add_argument("--side", type=int, default=20, help="pixels of a small image's side")
    arguments = parser.parse_args()
    share_processor()
    data = load_pipeline(PIPELINES / "fashion_mnist.yaml").config
    teacher = load_pipeline(PIPELINES / "mnist.yaml").config.teacher
    dataset = cast("Dataset", data.data)
    labelled = dataset.load(Silent())
    height, width = labelled.train.samples.shape[1:3]
    whole = arguments.epochs - round(arguments.small * arguments.side**2 / (height * width))
    ways = {"whole images": (0, arguments.epochs), "small ones first": (arguments.small, arguments.small + whole)}
    found: dict[str, list[TrainingResult]] = {way: [] for way in ways}
    for seed in range(arguments.seeds):
        kept, held = stratified_split(labelled.train.labels, dataset.validation, seed)
        split = labelled.train.take(kept)
        contract = contract_for(dataset.modality, split.samples, labelled.classes)
        for way, (small, epochs) in ways.items():
            options = teacher.model_copy(update={"epochs": epochs, "augment": data.teacher.augment})
            with tempfile.TemporaryDirectory() as work, small_at_first(small, arguments.side):
                result = train(
                    build_network(cast("Model", teacher.model), contract, seed),
                    [CrossEntropy(use="cross_entropy")],
                    TrainingData(split, labelled.train.take(held), contract),
                    options,
                    seed=seed,
                    execution=execution_here(options, cpu_facts()["isa"]),
                    work=Path(work),
                    progress=Silent(),
                    section="teacher",
                    name="teacher",
                )
            found[way].append(result)
            accuracy = 100 * result.history.last.validation_accuracy
            print(f"seed {seed}: {way}, {epochs} epochs: {accuracy:.2f} %, {result.seconds:.0f} s", flush=True)
    report(found, 1 / len(held))


@contextmanager
def small_at_first(epochs: int, side: int) -> Iterator[None]:
    """Whoever learns in the first epochs is shown images of this side; validation sees whole ones."""
    now = 0
    begin, attempt = Learner.begin, Learner.attempt

    def begun(self: Learner, epoch: int) -> None:
        nonlocal now
        now = epoch
        begin(self, epoch)

    def resized(self: Learner, batch: Batch) -> Attempt:
        if now < epochs:
            inputs = {
                name: functional.interpolate(each, (side, side), mode="bilinear", antialias=True)
                for name, each in batch.inputs.items()
            }
            batch = replace(batch, inputs=inputs)
        return attempt(self, batch)

    with patch.object(Learner, "begin", begun), patch.object(Learner, "attempt", resized):
        yield


def report(found: dict[str, list[TrainingResult]], step: float) -> None:
    accuracies = [[each.history.last.validation_accuracy for each in results] for results in found.values()]
    for way, each, results in zip(found, accuracies, found.values(), strict=True):
        mean, std = 100 * statistics.fmean(each), 100 * statistics.stdev(each)
        took = statistics.median(result.seconds for result in results)
        print(f"{way}: {mean:.2f} ± {std:.2f} % of validation right, {took:.0f} s")
    whole, small = accuracies
    gain = gain_over_seeds(small, whole, step=step)
    low, high = (100 * each for each in gain.interval)
    print(f"difference: {100 * gain.mean:+.2f} points [{low:+.2f}, {high:+.2f}]")


if __name__ == "__main__":
    main()
