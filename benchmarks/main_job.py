"""What the main job must reach, measured: python benchmarks/main_job.py [--runs 3] [--busy] [PIPELINE ...]

For each pipeline, from nothing to the verdict, each time with a fresh store: wall time, peak memory, accuracy of
each file on the test samples, size and time of the file that ships, verdict. Then a cached rerun of the same and
`edgekd --help`. Prints the median and the range of each figure, and the goal beside it. `--busy`: beside another
process that loads one core, which may take 2.5 times as long.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from busy import busy_core

REPOSITORY = Path(__file__).resolve().parents[1]
GOALS = {
    "mnist": {
        "minutes to the verdict": "under 3 where the processor is made for bfloat16",
        "teacher accuracy %": "at least 99.5",
        "shipped accuracy %": "at least 99.2",
        "shipped below fp32, points": "at most 0.3",
        "shipped bytes": "at most 12,288",
        "time against fp32, upper end": "at most 1.03",
        "student parameters": "at most 10,000",
        "peak memory GiB": "under 3",
        "exit code": "0 on an idle machine",
    },
    "digits": {"minutes to the verdict": "under 2", "exit code": "0 on an idle machine"},
    "sst2": {
        "minutes to the verdict": "at most 12",
        "teacher accuracy %": "at least 88.5",
        "shipped accuracy %": "at least 83",
        "shipped bytes": "at most 307,200",
        "speed-up over the teacher": "at least 50",
    },
    "trec": {
        "teacher accuracy %": "at least 96",
        "shipped accuracy %": "at least 93",
        "shipped bytes": "at most 307,200",
        "speed-up over the teacher": "at least 50",
    },
    "spoken_digits": {"shipped accuracy %": "at least 98", "student parameters": "at most 10,000"},
}


def edgekd(folder: Path, *arguments: str) -> tuple[int, float]:
    """The exit code and the wall time, in seconds, of a process of its own."""
    environment = {**os.environ, "EDGEKD_STORE": str(folder / "store")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "edgekd", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode, time.perf_counter() - started


def figures(record: dict[str, Any]) -> dict[str, float]:
    """What a run.json says of the goals."""
    records = record["records"]
    evaluation, latency = records["evaluation"]["local"], records["latency"]["local"]
    shipped = evaluation["shipped"]
    accuracy = {
        name: 100 * each["accuracy"]["correct"] / each["accuracy"]["total"]
        for name, each in evaluation["models"].items()
    }
    facts = records["candidate"][shipped]["file"]["facts"]
    ratios = {(each["model"], each["baseline"]): each for each in latency["comparisons"]}
    against_fp32 = ratios.get((shipped, "fp32"), {"ratio": 1.0, "interval": [1.0, 1.0]})
    found = {
        "teacher accuracy %": accuracy["teacher"],
        "fp32 accuracy %": accuracy["fp32"],
        "shipped accuracy %": accuracy[shipped],
        "shipped below fp32, points": accuracy["fp32"] - accuracy[shipped],
        "shipped bytes": facts["size_bytes"],
        "student parameters": records["network"]["student"]["parameters"],
        "peak memory GiB": record["peak_rss_bytes"] / 2**30,
        "speed-up over the teacher": 1 / ratios[shipped, "teacher"]["ratio"],
        "time against fp32": against_fp32["ratio"],
        "time against fp32, upper end": (against_fp32["interval"] or [0.0, math.inf])[1],
    }
    for name, value in accuracy.items():
        if name.startswith("control."):
            found[f"distillation gained, {name.removeprefix('control.')}"] = (
                accuracy[name.removeprefix("control.")] - value
            )
    return found


def measure(pipeline: Path, seeds: range) -> None:
    found: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            code, seconds = edgekd(folder, "run", str(pipeline), "--seed", str(seed))
            found["minutes to the verdict"].append(seconds / 60)
            found["exit code"].append(code)
            (path,) = folder.glob("runs/*/*/run.json")
            for key, value in figures(json.loads(path.read_text())).items():
                found[key].append(value)
            found["cached rerun, seconds"] += [
                edgekd(folder, "run", str(pipeline), "--seed", str(seed))[1] for _ in range(3)
            ]
    print(f"\n{pipeline.stem}: {len(seeds)} runs from nothing, seeds {', '.join(map(str, seeds))}")
    goals = {**GOALS.get(pipeline.stem, {}), "cached rerun, seconds": "under 1.5"}
    for key, values in found.items():
        spread = f" ± {statistics.stdev(values):.3g}" if len(values) > 1 else ""
        print(
            f"  {key:<34} median {statistics.median(values):10.5g}   mean {statistics.fmean(values):10.5g}{spread}"
            f"   [{min(values):.5g}, {max(values):.5g}]{'   goal: ' + goals[key] if key in goals else ''}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipelines", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--busy", action="store_true", help="load one core with another process meanwhile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times = [edgekd(Path(folder), "--help")[1] for _ in range(10)]
    print(f"edgekd --help: median {statistics.median(times):.3f} s of {len(times)}   goal: under 0.4")
    shipped = [REPOSITORY / "pipelines" / f"{name}.yaml" for name in ("digits", "mnist")]
    with busy_core(arguments.busy):
        for pipeline in arguments.pipelines or shipped:
            measure(pipeline.resolve(), range(arguments.first_seed, arguments.first_seed + arguments.runs))


if __name__ == "__main__":
    main()
