"""From raw sample to label in the bundle's own predict.py: a file that takes samples raw against one that takes floats.

    edgekd run PIPELINE --set export.input=raw --set export.output=label --set 'quantize.candidates=[int8_qdq]'
    edgekd run PIPELINE --set export.input=float --set 'quantize.candidates=[int8_qdq]'
    python benchmarks/raw_input.py RAW_BUNDLE FLOAT_BUNDLE [--samples SAMPLES.npy]

Each round loads both anew and interleaves blocks of calls in random order, one sample a call; its ratio is that of the
median times. Shown are the median of the ratios and its 96 % interval by order. Then: how many of the samples (N, ...),
by default the bundle's golden ones, get another label. Times are processor times of the calling thread, which other
programs lengthen little: the bundles must be for a target with one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 12
OUTSIDE = 2  # rounds on either side of the interval: of 12, the third to the tenth hold the median in 96 % of cases
BLOCKS = 40
CALLS = 50  # of a block
SETTLING = 10  # calls before a block that are not timed


def model_of(bundle: Path) -> Any:
    """The Model of the bundle's own predict.py."""
    spec = importlib.util.spec_from_file_location(f"predict_{abs(hash(bundle))}", bundle / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    predict = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = predict
    spec.loader.exec_module(predict)
    return predict.Model(bundle, predict.load_manifest(bundle), None, predict.load_parts(bundle))


def block(model: Any, samples: list[Any]) -> float:
    """Seconds of this thread in one call."""
    for number in range(SETTLING):
        model.labels(samples[number % len(samples)])
    begin = time.thread_time()
    for number in range(CALLS):
        model.labels(samples[number % len(samples)])
    return (time.thread_time() - begin) / CALLS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("floats", type=Path)
    parser.add_argument("--samples", type=Path, help="raw samples (N, ...) whose labels are compared")
    arguments = parser.parse_args()
    paths = (arguments.raw, arguments.floats)
    samples = np.load(arguments.samples or arguments.raw / "golden/samples.npy")
    each = [samples[row : row + 1] for row in range(min(64, len(samples)))]
    generator = np.random.default_rng(0)
    medians = []
    for _ in range(ROUNDS):
        models = {number: model_of(paths[number]) for number in generator.permutation(2).tolist()}
        times: dict[int, list[float]] = {0: [], 1: []}
        for _ in range(BLOCKS):
            for number in generator.permutation(2).tolist():
                times[number].append(block(models[number], each))
        medians.append([float(np.median(times[number])) for number in (0, 1)])
    taken = np.array(medians)
    ratios = np.sort(taken[:, 0] / taken[:, 1])
    middle, low, high = float(np.median(ratios)), ratios[OUTSIDE], ratios[-1 - OUTSIDE]
    raw_us, floats_us = 1e6 * np.median(taken, axis=0)
    print(f"raw {raw_us:.1f} µs, floats {floats_us:.1f} µs: {middle:.3f} [{low:.3f}, {high:.3f}] times as long")
    raw, floats = (model_of(path).labels(samples) for path in paths)
    changed = sum(one != other for one, other in zip(raw, floats, strict=True))
    print(f"{changed} of {len(samples):,} samples get another label")


if __name__ == "__main__":
    main()
