"""What each way to choose the range of an activation costs in accuracy: python benchmarks/calibration_methods.py

It trains three students, one on the digits and two on MNIST for 2 epochs (`EDGEKD_DATA` has it), makes the 8-bit file
of each with every method, and prints how many points of validation accuracy each loses against the fp32 file: the mean
over `--draws` choices of the calibration samples, and the worst. The files run without the runtime's optimisation, in
exact arithmetic: a processor without VNNI would add its overflow to every method.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from outputs import record_until, stored

from edgekd.data.balance import balanced_rows
from edgekd.data.modalities.base import Feeds, fed_rows, feeds_for
from edgekd.data.samples import Split
from edgekd.graph.quantization.quantize import make_candidate
from edgekd.graph.quantization.schemes import Int8Qdq
from edgekd.records.contract import ModelContract
from edgekd.stages.files import load_record, load_split

METHODS: dict[str, dict[str, Any]] = {
    "minmax": {"calibrate": "minmax"},
    "percentile 99.999": {"calibrate": "percentile"},
    "percentile 99.99": {"calibrate": "percentile", "percentile": 99.99},
    "percentile 99.9": {"calibrate": "percentile", "percentile": 99.9},
    "entropy": {"calibrate": "entropy"},
    "mse": {"calibrate": "mse"},
}
MNIST: dict[str, Any] = {
    "data": {"use": "mnist", "validation": 5000},
    "teacher": {"model": {"use": "conv", "width": 4, "stages": 2}, "epochs": 1, "min_accuracy": 0},
    "distill": {"epochs": 2, "batch_size": 128, "learning_rate": 0.005, "losses": ["cross_entropy"]},
}
STUDENTS: dict[str, dict[str, Any]] = {
    "digits, conv": {
        "data": {"use": "digits", "validation": 0.15},
        "teacher": {"model": {"use": "resnet", "width": 16, "depth": 1, "stages": 2}, "epochs": 20},
        "student": {"model": {"use": "conv", "width": 12, "depth": 2, "stages": 2, "growth": 1.5}},
        "distill": {"epochs": 30, "batch_size": 64, "learning_rate": 0.005, "losses": ["cross_entropy"]},
    },
    "MNIST, conv": {
        **MNIST,
        "student": {"model": {"use": "conv", "width": 9, "depth": 2, "growth": 1.45, "stride": 2}},
    },
    "MNIST, ds_cnn": {**MNIST, "student": {"model": {"use": "ds_cnn", "width": 16, "depth": 2, "stages": 2}}},
}
TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\n"


@dataclass(frozen=True)
class Student:
    fp32: Path
    contract: ModelContract
    train: Split
    validation: Split


def trained(folder: Path, name: str) -> Student:
    """The student of this name, by `edgekd run`."""
    work = folder / name.replace(", ", "-")
    work.mkdir()
    pipeline = {**STUDENTS[name], "name": work.name, "targets": ["here.yaml"], "release": {"max_accuracy_drop": 1.0}}
    record = record_until(work, pipeline, TARGET, "export")
    return Student(
        stored(record, "export@student", "model"),
        load_record(ModelContract, stored(record, "data", "contract")),
        load_split(stored(record, "data", "train")),
        load_split(stored(record, "data", "validation")),
    )


def accuracy(model: Path, feeds: Feeds, labels: NDArray[np.int64]) -> float:
    """In percent, every operator computed as the file says."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    right = 0
    for start in range(0, len(labels), 500):
        (logits,) = session.run(None, {name: array[start : start + 500] for name, array in feeds.items()})
        right += int((np.asarray(logits).argmax(axis=1) == labels[start : start + 500]).sum())
    return 100 * right / len(labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="choices of calibration samples")
    parser.add_argument("--samples", default="32,512", help="calibration samples, several numbers with commas between")
    arguments = parser.parse_args()
    numbers = [int(each) for each in arguments.samples.split(",")]
    columns = list(itertools.product(STUDENTS, numbers))
    lost: dict[str, list[str]] = {name: [] for name in METHODS}
    all_lost: dict[str, list[float]] = {name: [] for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    with tempfile.TemporaryDirectory() as folder:
        students = {name: trained(Path(folder), name) for name in STUDENTS}
        for name, number in columns:
            student, labels = students[name], students[name].validation.labels
            feeds = feeds_for(student.contract, student.validation.samples)
            before = accuracy(student.fp32, feeds, labels)
            for method, options in METHODS.items():
                drops = []
                for draw in range(arguments.draws):
                    rows = balanced_rows(student.train.labels, number, draw)
                    few = fed_rows(student.contract, student.train.only(rows).samples)
                    begin = time.perf_counter()
                    scheme = Int8Qdq(use="int8_qdq", calibration_samples=number, **options)
                    make_candidate(scheme, student.fp32, few, Path(folder) / "int8.onnx")
                    seconds[method].append(time.perf_counter() - begin)
                    drops.append(before - accuracy(Path(folder) / "int8.onnx", feeds, labels))
                lost[method].append(f"{statistics.mean(drops):.2f} ({max(drops):.2f})")
                all_lost[method] += drops
            print(f"{name}, {number} samples: fp32 {before:.2f} % of {len(labels)}", file=sys.stderr)
    heads = [f"{name}, {number}" for name, number in columns]
    print("points of validation accuracy lost against fp32: mean (worst) over the choices of the samples\n")
    print(f"{'':18}" + "".join(f"{head:>20}" for head in heads) + f"{'mean of all':>13}{'s':>7}")
    for method in METHODS:
        cells = "".join(f"{each:>20}" for each in lost[method])
        print(f"{method:18}{cells}{statistics.mean(all_lost[method]):13.3f}{statistics.mean(seconds[method]):7.2f}")


if __name__ == "__main__":
    main()
