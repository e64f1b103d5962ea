"""How often a model that is slower is called slower: python benchmarks/latency_power.py

Two stacks of equal layers, 20 against 22 (10 % more work) and 20 against 21 (5 %). Goal: 10 % is found in at least
95 of 100 trials of 30 s each at most, also while another process loads one core (--busy); of 5 % the rate is
reported. The true ratio is a little below 1.1 and 1.05, because a call has a fixed cost: the mean over all trials is
printed. `--trials 3` is a smoke test.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from busy import busy_core
from latency_models import stack

from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.harness.driver import measure
from edgekd.progress import Silent
from edgekd.records.runtime import RuntimeSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--margin", type=float, default=0.03)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--busy", action="store_true", help="load one core with another process meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, busy_core(options.busy):
        files = {layers: stack(Path(name) / f"{layers}.onnx", layers, options.channels, 14) for layers in (20, 21, 22)}
        for layers in (22, 21):
            found: Counter[str] = Counter()
            ratios, seconds = [], []
            for trial in range(options.trials):
                record = measure(
                    Local(use="local"),
                    RuntimeSettings(),
                    Measuring(seconds=options.seconds, margin=options.margin),
                    {"base": files[20], "more": files[layers]},
                    [("more", "base")],
                    trial,
                    Silent(),
                )
                pair = record.comparison("more", "base")
                found[pair.outcome.value] += 1
                ratios.append(np.log(pair.ratio))
                seconds.append(record.seconds)
                print(f"{layers / 20:.2f} {pair.ratio:.4f} {pair.interval} {pair.outcome.value}", flush=True)
            print(
                f"\n{layers / 20 - 1:.0%} more work: called slower in {found['slower']} of {options.trials} trials, "
                f"{dict(found)}; ratio on average {np.exp(np.mean(ratios)):.4f}; "
                f"median time {np.median(seconds):.1f} s, longest {max(seconds):.1f} s"
                + ("; goal: at least 95 %" if layers == 22 else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
