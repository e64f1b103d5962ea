"""The same distillation by torchdistill and by edgekd: python benchmarks/torchdistill_mnist.py [--rounds 3]

The student of pipelines/mnist.yaml learns from the same teacher for as many epochs. torchdistill does it as its own
configuration style puts it (torchdistill/mnist.yaml): torchvision's MNIST and transforms in a DataLoader, KDLoss, AdamW
and OneCycleLR, without workers and with two (the faster one counts). edgekd does it with its own loop, which records
the teacher's answers, and once more when they are recorded.

Each in a process of its own with the same number of threads (OMP_NUM_THREADS, by default as many as there are cores),
in turn, `--rounds` times, with another seed in each round. Seconds are those of the training, validation after each
epoch included. Accuracy is that of the last epoch on the rows that the pipeline holds out of the training images.

torchdistill gets an environment of its own in a temporary folder, which takes its torch, torchvision and edgekd from
the one that this runs in, or `--python`: that of an environment that has them all. Goal: edgekd is at least 8 times as
fast, to the same accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from environments import done, new_environment

from edgekd.training.execution import usable_cores

REPOSITORY = Path(__file__).resolve().parents[1]
LOOPS = Path(__file__).parent / "torchdistill" / "loops.py"
REQUIREMENT = "torchdistill>=1.1.5,<1.2"
THEIRS = ("torchdistill, 0 workers", "torchdistill, 2 workers")
OURS = ("edgekd, the first to ask", "edgekd, answers recorded")
"""The second finds the recordings of the first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="by default the pipeline's")
    parser.add_argument("--samples", type=int, help="to train on, by default all")
    parser.add_argument("--teacher", type=Path, help="its weights; by default it is trained here for one epoch")
    parser.add_argument("--python", help="of an environment with torchdistill")
    options = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = options.python or new_environment(folder / "environment", REQUIREMENT, shares_ours=True)
        done([theirs, "-c", "import torchdistill, torchvision, pydantic"], f"{theirs} cannot be used")
        limits = [f"--{each}={value}" for each in ("epochs", "samples") if (value := getattr(options, each))]
        teacher = options.teacher or folder / "teacher.safetensors"
        if options.teacher is None:
            print("training a teacher for one epoch", flush=True)
            run(sys.executable, "teacher", folder, teacher, *limits)
        for number in range(options.rounds):
            work = folder / str(number)
            work.mkdir()
            for loop in (*THEIRS, *OURS):
                python = theirs if loop in THEIRS else sys.executable
                one = json.loads(run(python, loop, work, teacher, f"--seed={number}", *limits))
                found[loop].append(one)
                print(f"round {number + 1}: {told(loop, one['seconds'], one['accuracy'])}   {one['how']}", flush=True)
    print()
    fastest = [min(each["seconds"] for each in pair) for pair in zip(*(found[loop] for loop in THEIRS), strict=True)]
    for loop, each in found.items():
        ratios = [theirs_s / mine["seconds"] for theirs_s, mine in zip(fastest, each, strict=True)]
        medians = (statistics.median(one[figure] for one in each) for figure in ("seconds", "accuracy"))
        print(
            f"{told(loop, *medians)}   {statistics.median(ratios):5.2f} times as fast as torchdistill   "
            f"[{min(ratios):.2f}, {max(ratios):.2f}]"
        )


def told(loop: str, seconds: float, accuracy: float) -> str:
    return f"{loop:<24} {seconds:8.1f} s   {accuracy:7.2%} of validation right"


def run(python: str, *arguments: object) -> str:
    """The last line that a process of loops.py prints."""
    ended = subprocess.run(
        [python, str(LOOPS), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={"OMP_NUM_THREADS": str(usable_cores()), **os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    if ended.returncode:
        raise SystemExit(f"{arguments[0]} failed in {python}, as it says above")
    return (ended.stdout.splitlines() or [""])[-1]


if __name__ == "__main__":
    main()
