"""How often a file is called faster or slower than itself: python benchmarks/latency_false_alarms.py

Goal: at most 1 % of at least 200 comparisons of 10 s each at most, also while another process loads one core
(--busy). Small models are the hard case: two loads of one file differ by a per cent. Prints each comparison and the
counts. `--comparisons 6` is a smoke test.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from busy import busy_core
from latency_models import stack
from scipy import stats

from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.harness.driver import measure
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--busy", action="store_true", help="load one core with another process meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, busy_core(options.busy):
        files = [stack(Path(name) / "tiny.onnx", 3, 8, 14), stack(Path(name) / "large.onnx", 6, 32, 28)]
        found: Counter[str] = Counter()
        begun = time.monotonic()
        for number in range(options.comparisons):
            file = files[number % len(files)]
            record = measure(
                Local(use="local"),
                RuntimeSettings(),
                Measuring(seconds=options.seconds),
                {"a": file, "b": file},
                [("b", "a")],
                number,
                Silent(),
            )
            pair = record.comparison("b", "a")
            found[pair.outcome.value] += 1
            low, high = pair.interval or (float("nan"),) * 2
            print(
                f"{number + 1:4d} {file.stem:5s} {pair.ratio:.4f} [{low:.4f}, {high:.4f}] {pair.outcome.value:9s} "
                f"{pair.pairs:3d} pairs, {record.looks} looks, {record.seconds:4.1f} s",
                flush=True,
            )
    alarms = found["faster"] + found["slower"]
    upper = stats.beta.ppf(0.95, alarms + 1, options.comparisons - alarms) if alarms < options.comparisons else 1.0
    print(f"\n{dict(found)} in {time.monotonic() - begun:.0f} s")
    print(
        f"called different: {alarms} of {options.comparisons} = {alarms / options.comparisons:.2%} "
        f"(at most {upper:.1%} at 95 %); goal: at most 1 %"
    )


if __name__ == "__main__":
    main()
