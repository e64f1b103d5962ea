"""What the fast ways of training cost in accuracy: python benchmarks/training_accuracy.py [PIPELINE]

Trains the pipeline's student from labels alone, `--epochs` epochs, with several seeds: in float32 and in one piece, as
the simplest loop would, and as edgekd does it on this machine (batches in shards, bfloat16 where the processor is made
for it), and says how the accuracy on validation samples differs, paired by seed, with a 95 % interval of the mean.
Goal: the interval holds 0.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import cast

from edgekd.agent.machine import cpu_facts
from edgekd.config.pipeline import load_pipeline
from edgekd.config.training import TrainingOptions
from edgekd.data.base import Dataset
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.harness.scoring import gain_over_seeds
from edgekd.models.base import Model
from edgekd.progress import Silent
from edgekd.training.execution import Execution, execution_here
from edgekd.training.loop import TrainingData, train
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.network import build_network

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", nargs="?", type=Path, default=REPOSITORY / "pipelines" / "fashion_mnist.yaml")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    config = load_pipeline(arguments.pipeline).config
    dataset = cast("Dataset", config.data)
    labelled = dataset.load(Silent())
    options = TrainingOptions.model_validate(
        {each: getattr(config.distill, each) for each in TrainingOptions.model_fields}
    )
    options = options.model_copy(update={"epochs": arguments.epochs})
    here = execution_here(options, cpu_facts()["isa"])
    found: dict[Execution, list[float]] = {Execution(threads=here.shards * here.threads): [], here: []}
    for seed in range(arguments.seeds):
        kept, held = stratified_split(labelled.train.labels, dataset.validation, seed)
        split = labelled.train.take(kept)
        contract = contract_for(dataset.modality, split.samples, labelled.classes)
        data = TrainingData(split, labelled.train.take(held), contract)
        for execution, accuracies in found.items():
            with tempfile.TemporaryDirectory() as work:
                result = train(
                    build_network(cast("Model", config.student.model), contract, seed),
                    [CrossEntropy(use="cross_entropy")],
                    data,
                    # of the number, not `auto`: a small step is not to be done in one piece for being small
                    options.model_copy(update={"shards": execution.shards}),
                    seed=seed,
                    execution=execution,
                    work=Path(work),
                    progress=Silent(),
                    section="distill",
                    name="student",
                )
            accuracies.append(result.history.last.validation_accuracy)
            print(
                f"seed {seed}: {execution}: {100 * accuracies[-1]:.2f} % of validation right, {result.seconds:.0f} s",
                flush=True,
            )
    for execution, accuracies in found.items():
        mean, std = 100 * statistics.fmean(accuracies), 100 * statistics.stdev(accuracies)
        print(f"{execution}: {mean:.2f} ± {std:.2f} %")
    simple, fast = found.values()
    gain = gain_over_seeds(fast, simple, step=1 / len(held))
    low, high = (100 * each for each in gain.interval)
    print(f"difference: {100 * gain.mean:+.2f} points [{low:+.2f}, {high:+.2f}]; goal: holds 0")


if __name__ == "__main__":
    main()
