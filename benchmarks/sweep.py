"""A sweep of 64 short MNIST trials, timed: python benchmarks/sweep.py [--until train] [--quarter]

Four learning rates, four temperatures and two widths with two seeds each, one epoch a student, from an empty store up
to `validate`. Prints the minutes that it took, and the overhead of a trial: what is left of the time when that of all
stages is taken away, from the start of the command to its end, by the number of trials; it means something with one
trial at a time. Then the same command again, which must say the same, and what that took. `--kill-after 60` kills the
first command so many seconds after its start and times the one that goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

PIPELINE = {
    "name": "short",
    "data": {"use": "mnist", "validation": 5000},
    "teacher": {"model": {"use": "resnet", "width": 16, "depth": 1, "stride": 2}, "epochs": 1, "optimizer": "muon"},
    "student": {"model": {"use": "conv", "width": 8, "depth": 1, "stride": 2}},
    "distill": {
        "epochs": 1,
        "optimizer": "muon",
        "losses": [{"use": "cross_entropy", "weight": 0.1}, {"use": "kd", "weight": 0.9}],
    },
    "quantize": {"candidates": ["fp32", "int8_weights"]},
    "targets": ["here.yaml"],
    "release": {"max_accuracy_drop": 1.0},
}
TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\nmeasure: {seconds: 2, screen_seconds: 2}\n"
TRIED = (
    "distill.learning_rate=0.005,0.01,0.02,0.04",
    "distill.temperature=1,2,4,8",
    "student.model.width=8,16",
)
SEEDS = 2


def command(options: argparse.Namespace) -> list[str]:
    workers = [] if options.workers is None else ["--workers", options.workers]
    tried = [part for each in (TRIED[1:] if options.quarter else TRIED) for part in ("--set", each)]
    return [sys.executable, "-m", "edgekd", "sweep", "pipeline.yaml", *tried, "--seeds", str(SEEDS),
            "--until", options.until, "--json", *workers]  # fmt: skip


def swept(folder: Path, options: argparse.Namespace) -> tuple[dict[str, Any], float]:
    """The record, and the seconds from the start of the command to its end."""
    environment = {**os.environ, "EDGEKD_STORE": str(folder / "store")}
    started = time.perf_counter()
    done = subprocess.run(command(options), cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - started
    record: dict[str, Any] = json.loads(done.stdout)
    return record, seconds


def stage_seconds(store: Path) -> float:
    found: list[float] = [json.loads(path.read_text())["seconds"] for path in store.glob("records/*/*.json")]
    return sum(found)


def killed(folder: Path, options: argparse.Namespace, after_s: float) -> None:
    environment = {**os.environ, "EDGEKD_STORE": str(folder / "store")}
    process = subprocess.Popen(command(options), cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    time.sleep(after_s)
    process.send_signal(signal.SIGKILL)
    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", default="validate")
    parser.add_argument("--workers")
    parser.add_argument("--quarter", action="store_true", help="one learning rate: 16 trials")
    parser.add_argument("--kill-after", type=float, metavar="S", help="kill the first command after so many seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))
        (folder / "here.yaml").write_text(TARGET)
        if options.kill_after is not None:
            killed(folder, options, options.kill_after)
        record, seconds = swept(folder, options)
        trials = [each for row in record["rows"] for each in row["trials"]]
        failed = sum(bool(each["failed"]) for each in trials)
        print(f"{len(trials)} trials ({failed} failed): {seconds / 60:.2f} minutes   goal: under 30")
        if options.kill_after is None:
            overhead = (seconds - stage_seconds(folder / "store")) / len(trials)
            print(f"overhead: {overhead:.3f} s a trial   goal: under 0.3, with one at a time")
        again, seconds = swept(folder, options)
        print(f"the same again: {seconds:.1f} s, {seconds / len(trials):.3f} s a trial")
        assert again["rows"] == record["rows"]


if __name__ == "__main__":
    main()
