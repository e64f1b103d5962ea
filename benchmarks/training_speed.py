"""How fast networks are trained here, against the loop that everybody writes: python benchmarks/training_speed.py

The networks, augmentation and batches of pipelines/mnist.yaml on real MNIST. The plain loop is fp32: a DataLoader with
torchvision's RandomAffine, without workers and with two (the faster one counts), and the teacher asked in every step.
Each loop runs in a process of its own, all in turn, `--rounds` times. Prints images a second and ratios within a round.

Goals: a teacher trained at least 3 times as fast as by the plain loop on processors with AMX, 1.9 times with
AVX512-bf16 alone, 1.3 times without either; a student with recorded answers at least 6 times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from busy import busy_core

REPOSITORY = Path(__file__).resolve().parents[1]
LOOPS = (
    "teacher, 0 workers",
    "teacher, 2 workers",
    "teacher, edgekd",
    "student, 0 workers",
    "student, 2 workers",
    "student, the first to ask",
    "student, answers recorded",
)
"""The last one finds the recordings of the one before it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, default=100, help="of a teacher's epoch; a student's has four times as many"
    )
    parser.add_argument("--busy", action="store_true", help="load one core with another process meanwhile")
    options = parser.parse_args()
    rates: dict[str, list[float]] = defaultdict(list)
    with busy_core(options.busy):
        for number in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for name in LOOPS:
                    rates[name].append(images_a_second(name, options.steps, folder))
                    print(f"round {number + 1}: {name:<26} {rates[name][-1]:8,.0f} images/s", flush=True)
    print()
    for name, found in rates.items():
        kind = name.partition(",")[0]
        plain = [max(each) for each in zip(*(rates[f"{kind}, {count} workers"] for count in (0, 2)), strict=True)]
        ratios = [mine / theirs for mine, theirs in zip(found, plain, strict=True)]
        print(
            f"{name:<26} median {statistics.median(found):8,.0f} images/s   {statistics.median(ratios):5.2f} times "
            f"the plain loop   [{min(ratios):.2f}, {max(ratios):.2f}]"
        )


def images_a_second(name: str, steps: int, folder: str) -> float:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("training_loops.py")), name, str(steps), folder],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
