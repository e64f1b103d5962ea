"""What repair does for an 8-bit depthwise network: python benchmarks/repair.py [--data fashion_mnist] [--epochs 6]

A depthwise-separable network of the size of MLPerf Tiny's (a convolution and five depthwise blocks of 64 channels,
26,000 parameters) is trained on MNIST or Fashion-MNIST, and quantized with one scale for each whole tensor
(`per_channel: false`), the form that depthwise layers collapse in. Every step is tried, whatever the ones before it
reached; with `--limit 0.002` only until the file is within 0.2 points. Steps are chosen on validation samples; the test
samples are shown for the fp32 file, the 8-bit one as it was asked for, and the one that is taken. `--unequal 8` first
multiplies the channels of every depthwise convolution by powers of 2 over 8 octaves and divides what reads them: the
fp32 network computes the same. The training is kept in the store.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from outputs import record_until, stored

from edgekd.data.balance import balanced_rows
from edgekd.data.modalities.base import feeds_for
from edgekd.graph.quantization.equalise import Pair, pairs_of
from edgekd.graph.quantization.layers import by_channels, constant, restored, set_constant
from edgekd.graph.quantization.quantize import make_candidate, make_repaired
from edgekd.graph.quantization.repair import Judge
from edgekd.graph.quantization.schemes import Int8Qdq, Int8QOperator, StaticInt8
from edgekd.graph.quantization.static import prepared
from edgekd.graph.quiet import quiet
from edgekd.records.contract import ModelContract

TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\n"
SCHEMES: dict[str, StaticInt8] = {
    "int8_qdq": Int8Qdq(use="int8_qdq", per_channel=False),
    "int8_qoperator": Int8QOperator(use="int8_qoperator", per_channel=False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("mnist", "fashion_mnist"), default="fashion_mnist")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scheme", choices=list(SCHEMES), default="int8_qoperator")
    parser.add_argument("--unequal", type=float, default=0.0, metavar="OCTAVES")
    parser.add_argument("--limit", type=float, default=-1.0, help="stop at this drop; by default every step is tried")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        record = run(Path(name), options.data, options.epochs, options.seed)
        contract = ModelContract.model_validate(record["records"]["contract"]["data"])
        fp32, layers = stored(record, "export@student", "model"), record["records"]["exported"]["student"]["layers"]
        splits = {split: np.load(stored(record, "data", split)) for split in ("train", "validation", "test")}
        if options.unequal:
            fp32 = unequal(fp32, layers, options.unequal, Path(name) / "unequal.onnx")
        repair(SCHEMES[options.scheme], fp32, layers, contract, splits, options.limit)


def run(folder: Path, data: str, epochs: int, seed: int) -> dict[str, Any]:
    """The record of the training; its teacher teaches nobody."""
    pipeline = {
        "name": f"repair-{data}",
        "seed": seed,
        "data": {"use": data, "validation": 5000},
        "teacher": {"model": {"use": "conv", "width": 4, "depth": 1, "stride": 2}, "epochs": 1},
        "student": {"model": {"use": "ds_cnn", "width": 64, "depth": 5, "stages": 1, "stride": 2}},
        "distill": {
            "from": [],
            "epochs": epochs,
            "batch_size": 128,
            "learning_rate": 0.01,
            "losses": [{"use": "cross_entropy"}],
        },
        "quantize": {"candidates": ["fp32"]},
        "targets": ["here.yaml"],
        "release": {"max_accuracy_drop": 1.0},
    }
    return record_until(folder, pipeline, TARGET, "export@student")


def unequal(fp32: Path, layers: Sequence[str], octaves: float, path: Path) -> Path:
    """The same function with channels of very unequal size between each depthwise convolution and what reads it."""
    with quiet():
        model = prepared(fp32, "fp32", layers)
    rng = np.random.default_rng(0)
    for pair in pairs_of(model):
        depthwise, reader = by_channels(model, pair.first), by_channels(model, pair.second)
        if depthwise.shape[2] == 1 and len(depthwise) > 1:
            powers = 2 ** rng.permutation(np.linspace(-octaves / 2, octaves / 2, len(depthwise)))
            _rescale(model, pair, depthwise * powers.reshape(-1, 1, 1, 1), reader / powers.reshape(1, 1, -1, 1), powers)
    onnx.save(model, path)
    return path


def _rescale(model: onnx.ModelProto, pair: Pair, first: Any, second: Any, powers: Any) -> None:
    set_constant(model, pair.first.weight, restored(model, pair.first, first))
    set_constant(model, pair.second.weight, restored(model, pair.second, second))
    if pair.first.bias is not None:
        set_constant(model, pair.first.bias, constant(model, pair.first.bias) * powers)


def repair(
    scheme: StaticInt8,
    fp32: Path,
    layers: Sequence[str],
    contract: ModelContract,
    splits: dict[str, Any],
    limit: float,
) -> None:
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    feeds = feeds_for(contract, train["samples"][balanced_rows(train["labels"], scheme.samples_wanted, seed=0)])
    judge = Judge(feeds_for(contract, validation["samples"]), validation["labels"], limit)
    testing = Judge(feeds_for(contract, test["samples"]), test["labels"], limit)
    with tempfile.TemporaryDirectory() as folder:
        asked, taken = Path(folder) / "asked.onnx", Path(folder) / "taken.onnx"
        make_candidate(scheme, fp32, feeds, asked, layers)
        _, found = make_repaired(scheme, fp32, feeds, taken, layers, judge)
        tested = {name: testing.accuracy(path) for name, path in (("fp32", fp32), ("asked", asked), ("taken", taken))}
    print(f"\n{scheme.use}, one scale a tensor; accuracy of {found.samples:,} validation samples in %")
    print(f"{100 * found.fp32_accuracy:8.2f} {fp32.stat().st_size:8,} bytes {'':10}  fp32")
    for attempt in found.attempts:
        told = " + ".join(attempt.steps) or "as it was asked for"
        reached = "" if attempt.accuracy is None else f"{100 * attempt.accuracy:.2f}"
        why = f": {attempt.failed}" if attempt.failed else ""
        print(f"{reached:>8} {attempt.size_bytes:8,} bytes {attempt.seconds:8.1f} s  {told}{why}")
    print(f"taken: {' + '.join(found.steps) or 'as it was asked for'}")
    told = ", ".join(f"{name} {100 * each:.2f}" for name, each in tested.items())
    print(f"{len(test['labels']):,} test samples: {told}")


if __name__ == "__main__":
    main()
