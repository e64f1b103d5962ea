"""Every method of distillation on one student: python benchmarks/methods.py [--data fashion_mnist] [--seeds 5]

The same budget, initial weights and order of samples for all; 10 % of the labels, except for digits. Test accuracy
after the last epoch, in fp32 and as int8 (QDQ, calibrated on training images; weights of 7 bits where this processor's
8-bit sums can overflow, as `repair` makes them), mean and standard deviation over the seeds, and what each is ahead of
the untaught control: the mean of the differences with Student's 95 % interval over the seeds. `beyond noise`: whether
the difference is real at 5 % after Holm's correction for so many methods. Weights are the customary ones of the papers,
not tuned here. `--data digits` takes minutes, the others hours; the store keeps what is finished. `--methods kd,dkd`
runs some alone.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from outputs import record_until, stored

from edgekd.data.balance import balanced_rows
from edgekd.data.modalities.base import feeds_for
from edgekd.graph.quantization.overflow import sums_overflow_here
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.harness.scoring import gain_over_seeds
from edgekd.records.contract import ModelContract

STEP = 100 / 10_000  # in points, of the test samples of both data sets
CE = {"use": "cross_entropy", "weight": 0.1}
FULL = {"use": "cross_entropy", "weight": 1.0}
KD = {"use": "kd", "weight": 0.9, "temperature": 4}
LAST = {"student": "flatten", "teacher": "flatten"}
MAPS = {"student": "stages.1", "teacher": "stages.1"}
RESPONSES: dict[str, list[dict[str, Any]]] = {
    "kd": [CE, KD],
    "kd standardised": [CE, {"use": "kd", "weight": 9, "standardise": True, "temperature": 2}],
    "kd learned T": [CE, {"use": "kd", "weight": 0.9, "temperature": {"use": "learned"}}],
    "logit_regression": [CE, {"use": "logit_regression"}],
    "dkd": [FULL, {"use": "dkd", "temperature": 4, "warmup": 0.083}],
    "dist": [FULL, {"use": "dist"}],
    "nkd": [FULL, {"use": "nkd"}],
    "ttm": [FULL, {"use": "ttm", "weight": 1}],
    "wttm": [FULL, {"use": "ttm", "weight": 4.5, "weighted": True}],
    "rld": [FULL, {"use": "rld", "temperature": 4}],
    "norm_kd": [CE, {"use": "norm_kd", "weight": 0.9}],
    "mlkd": [CE, {"use": "mlkd"}],
    "wkd_logits": [FULL, {"use": "wkd_logits", "temperature": 8}],
    "pseudo_labels": [{"use": "pseudo_labels"}],
}
FEATURES: dict[str, list[dict[str, Any]]] = {
    "fitnet": [CE, KD, {"use": "fitnet", **MAPS, "weight": 1}],
    "at": [CE, KD, {"use": "at", **MAPS, "weight": 1000}],
    "sp": [CE, KD, {"use": "sp", **LAST, "weight": 3000}],
    "rkd": [
        CE,
        KD,
        {"use": "rkd", **LAST, "weight": 25},
        {"use": "rkd", **LAST, "weight": 50, "relation": "angle"},
    ],
    "pkt": [CE, KD, {"use": "pkt", **LAST, "weight": 30000}],
    "nst": [CE, KD, {"use": "nst", **MAPS, "weight": 50}],
    "vid": [CE, KD, {"use": "vid", **LAST, "weight": 1}],
    "crd": [CE, KD, {"use": "crd", **LAST, "weight": 0.8}],
    "contrastive": [CE, KD, {"use": "contrastive", **LAST, "weight": 1}],
    "triplet": [CE, KD, {"use": "triplet", **LAST, "weight": 1}],
    "review_kd": [
        CE,
        KD,
        {"use": "review_kd", "student": ["stages.0", "stages.1"], "teacher": ["stages.0", "stages.1"], "weight": 1},
    ],
    "srd": [CE, KD, {"use": "srd", **LAST, "weight": 1}],
    "wkd_features": [CE, KD, {"use": "wkd_features", **MAPS, "weight": 0.08}],
}
METHODS = {**RESPONSES, **FEATURES}
DATA: dict[str, dict[str, Any]] = {
    "digits": {"data": {"use": "digits", "validation": 0.15}, "teacher": 30, "width": 16, "student": 6},
    "fashion_mnist": {
        "data": {"use": "fashion_mnist", "validation": 5000, "labelled": 0.1},
        "teacher": 4,
        "width": 24,
        "student": 9,
    },
    "cifar10": {
        "data": {"use": "image_folder", "path": "cifar10-png.tar", "validation": 5000, "labelled": 0.1},
        "teacher": 8,
        "width": 32,
        "student": 16,
    },
}
TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\nmeasure: {seconds: 1, screen_seconds: 1}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(DATA), default="fashion_mnist")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="of every student")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them, with commas between")
    options = parser.parse_args()
    methods = {name.strip(): METHODS[name.strip()] for name in options.methods.split(",")}
    with tempfile.TemporaryDirectory() as name:
        record = run(Path(name), options.data, methods, options.seeds, options.epochs)
    contract = ModelContract.model_validate(record["records"]["contract"]["data"])
    splits = {split: np.load(stored(record, "data", split)) for split in ("train", "test")}
    files = {title: key for key, title in named(methods).items()}
    networks = {"control": "control", **{title: files[title] for title in methods}}
    for kind in ("fp32", "int8"):
        reached = {
            title: [accuracy(record, splits, contract, network, again, kind) for again in range(options.seeds)]
            for title, network in networks.items()
        }
        print_table(kind, reached)


def named(methods: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """By what a network may be called, the title of each method."""
    return {title.replace(" ", "_"): title for title in methods}


def run(folder: Path, data: str, methods: dict[str, list[dict[str, Any]]], seeds: int, epochs: int) -> dict[str, Any]:
    """The record of one run of all of them; the first is the student, the others its variants."""
    settings = DATA[data]
    pipeline = {
        "name": f"methods-{data}",
        "seeds": seeds,
        "data": settings["data"],
        "teacher": {
            "model": {"use": "resnet", "width": settings["width"], "depth": 1, "stages": 2, "stride": 2},
            "epochs": settings["teacher"],
            "optimizer": "muon",
            "learning_rate": 0.02,
            "augment": {"shift": 1},
        },
        "student": {"model": {"use": "conv", "width": settings["student"], "depth": 2, "stages": 2, "stride": 2}},
        "distill": {
            "epochs": epochs,
            "views": min(4, epochs),
            "optimizer": "muon",
            "learning_rate": 0.02,
            "augment": {"shift": 1},
            "control": True,
            "losses": [CE, KD],
        },
        "variants": {key: {"losses": methods[title]} for key, title in named(methods).items()},
        "quantize": {"candidates": ["fp32"]},
        "targets": ["here.yaml"],
        "release": {"max_accuracy_drop": 1.0},
    }
    return record_until(folder, pipeline, TARGET, "seeds")


def accuracy(
    record: dict[str, Any], splits: dict[str, Any], contract: ModelContract, network: str, again: int, kind: str
) -> float:
    """Of the file of a network, trained with this seed, on the test samples, in percent."""
    if kind == "fp32":
        found: float = record["records"]["seeds"]["here"]["accuracies"][f"{network}.fp32"][again]
        return 100 * found
    file = stored(record, f"export@{network}{f'.{again + 1}' if again else ''}", "model")
    train, test = splits["train"], splits["test"]
    scheme = Int8Qdq(use="int8_qdq", reduce_range=sums_overflow_here())
    rows = balanced_rows(train["labels"], scheme.samples_wanted, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        make_candidate(scheme, file, feeds_for(contract, train["samples"][rows]), path)
        session = onnxruntime.InferenceSession(path)
        (logits,) = session.run(None, feeds_for(contract, test["samples"]))
    return 100 * float((np.asarray(logits).argmax(axis=1) == test["labels"]).mean())


def print_table(kind: str, reached: dict[str, list[float]]) -> None:
    gains = {title: gain_over_seeds(values, reached["control"], step=STEP) for title, values in reached.items()}
    left = sorted((title for title in reached if title != "control"), key=lambda title: gains[title].p_value)
    shown = set()
    for place, title in enumerate(left):  # Holm 1979: stop at the first that is not beyond 5 % / so many as are left
        if gains[title].p_value > 0.05 / (len(left) - place):
            break
        shown.add(title)
    print(f"\n{kind:18} {'test accuracy %':>16} {'ahead of the control':>30}  beyond noise")
    for title, values in reached.items():
        line = f"{title:18} {f'{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}':>16}"
        if title != "control":
            gain = gains[title]
            ahead = f"{gain.mean:+.2f} [{gain.interval[0]:+.2f}, {gain.interval[1]:+.2f}]"
            line += f" {ahead:>30}  {'yes' if title in shown else 'no'}"
        print(line)


if __name__ == "__main__":
    main()
