"""What edgekd ships of a network, against what others make of it: python benchmarks/quantization.py [--models ...]

Four networks, trained here (or found in the store): the student and the teacher of pipelines/mnist.yaml, a
depthwise-separable network of 26,000 parameters on Fashion-MNIST, a ResNet-8 of 77,000 on CIFAR-10 (a few epochs). Of
each one's float file

- `edgekd quantize` makes every candidate and chooses the fastest that keeps the accuracy;
- ONNX Runtime's `quantize_static` makes one with its defaults, and one with the settings that its documentation
  recommends for x86 (pre-processed, unsigned activations, signed weights by channel);
- Olive makes one with its defaults, in an environment of its own (`--olive PYTHON`: one that is there already).

All calibrate on validation samples: edgekd on the 512 that it takes of them, the others on 512 of them that are
balanced by class. All five files are then timed in one interleaved measurement on fresh loads, one thread. Ratios are
the time of the file that edgekd ships, with its session options, divided by another file's; accuracy is that of all
test samples, on which nothing was chosen. Bytes have the bound of 1.10 (parameters in one byte each, 4 for each output
channel's scale) + 2,000.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from environments import new_environment
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from outputs import record_of, record_until, stored
from repair import run as depthwise
from rich.console import Console

from edgekd.cli.subjects import load_target
from edgekd.data.balance import balanced_rows
from edgekd.data.modalities.base import Feeds, feeds_for
from edgekd.graph.quiet import quiet
from edgekd.graph.runtime import run_onnx
from edgekd.harness.driver import measure
from edgekd.harness.subject import Subject
from edgekd.records.contract import ModelContract
from edgekd.report.progress import progress_for
from edgekd.stages.targets import device_of

REPOSITORY = Path(__file__).resolve().parents[1]
OLIVE = Path(__file__).parent / "olive" / "quantize.py"
REQUIREMENTS = ("olive-ai==0.13.0", "onnxruntime", "requests")  # Olive imports requests without asking for it
TARGET = "name: here\ndevice: local\nlimits: {p90_latency_ms: 1000}\n"
CALIBRATION = 512


@dataclass(frozen=True)
class Network:
    """A trained one: its float file, inputs and labels of the validation and the test split."""

    fp32: Path
    validation: Feeds
    validation_labels: Any
    test: Feeds
    test_labels: Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--olive", metavar="PYTHON", help="of an environment with Olive")
    parser.add_argument("--seconds", type=float, default=60, help="of the measurement of each network's files")
    parser.add_argument("--epochs", type=int, default=12, help="of the network on CIFAR-10")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        olive = options.olive or new_environment(folder / "environment", *REQUIREMENTS)
        for model in options.models:
            work = folder / model
            work.mkdir()
            compare(model, NETWORKS[model](work, options.epochs), olive, work, options.seconds)


def mnist(folder: Path, network: str) -> Network:
    pipeline = str(REPOSITORY / "pipelines" / "mnist.yaml")
    return network_of(record_of(folder, pipeline, "--until", f"export@{network}"), network)


def resnet(folder: Path, epochs: int) -> Network:
    """ResNet-8 as MLPerf Tiny has it, of labels alone."""
    pipeline = {
        "name": "resnet8-cifar10",
        "seed": 0,
        "data": {"use": "image_folder", "path": "cifar10-png.tar", "validation": 5000},
        "teacher": {"model": {"use": "conv", "width": 4, "depth": 1, "stride": 2}, "epochs": 1},
        "student": {"model": {"use": "resnet", "width": 16, "depth": 1}},
        "distill": {
            "from": [],
            "epochs": epochs,
            "batch_size": 128,
            "optimizer": "muon",
            "learning_rate": 0.02,
            "weight_decay": 0.02,
            "augment": {"crop": 2, "flip": "alternating"},
            "losses": [{"use": "cross_entropy"}],
        },
        "quantize": {"candidates": ["fp32"]},
        "targets": ["here.yaml"],
        "release": {"max_accuracy_drop": 1.0},
    }
    return network_of(record_until(folder, pipeline, TARGET, "export@student"), "student")


NETWORKS: dict[str, Callable[[Path, int], Network]] = {
    "mnist_student": lambda folder, _: mnist(folder, "student"),
    "ds_cnn": lambda folder, _: network_of(depthwise(folder, "fashion_mnist", 6, 0), "student"),
    "resnet8": resnet,
    "mnist_teacher": lambda folder, _: mnist(folder, "teacher"),
}


def network_of(record: dict[str, Any], network: str) -> Network:
    contract = ModelContract.model_validate(record["records"]["contract"]["data"])
    splits = {split: np.load(stored(record, "data", split)) for split in ("validation", "test")}
    validation, test = (feeds_for(contract, each["samples"]) for each in splits.values())
    labels = [each["labels"] for each in splits.values()]
    return Network(stored(record, f"export@{network}", "model"), validation, labels[0], test, labels[1])


def compare(model: str, network: Network, olive: str, folder: Path, seconds: float) -> None:
    """Prints a line for each file."""
    (name,), (inputs,) = network.validation.keys(), network.validation.values()
    rows = balanced_rows(network.validation_labels, CALIBRATION, seed=0)
    for file, array in {"all": inputs, "some": inputs[rows], "labels": network.validation_labels}.items():
        np.save(folder / f"{file}.npy", array)
    fp32 = folder / "fp32.onnx"
    fp32.write_bytes(network.fp32.read_bytes())
    chosen, shipped, session = ours(fp32, folder)
    files = {
        f"edgekd: {chosen}": Subject(shipped, session=session),
        "fp32": Subject(fp32),
        "quantize_static, defaults": Subject(default(fp32, name, inputs[rows], folder / "default.onnx")),
        "quantize_static, recommended": Subject(recommended(fp32, name, inputs[rows], folder / "recommended.onnx")),
        "Olive, defaults": Subject(olives(olive, fp32, folder)),
    }
    first, *others = files
    target = load_target(None, seconds=seconds)
    pairs = [(first, each) for each in others]
    device, progress = device_of(target), progress_for(Console(stderr=True))
    measured = measure(device, target.runtime, target.measure, files, pairs, 0, progress, feeds={name: inputs[rows]})
    print(f"\n{model}: {parameters(fp32):,} parameters, bound {bound(fp32):,.0f} bytes")
    for each, subject in files.items():
        right = run_onnx(subject.path, network.test, subject.session).argmax(axis=1) == network.test_labels
        latency = measured.model(each)
        p50 = latency.percentile(0.5)
        told = f"{each:<32} {latency.size_bytes:9,} bytes   {right.mean():7.2%} of test right"
        told += "" if p50 is None else f"   p50 {1e6 * p50.value_s:8.1f} µs"
        if each != first:
            ratio = measured.comparison(first, each)
            low, high = ratio.interval or (float("nan"), float("nan"))
            told += f"   edgekd's time is {ratio.ratio:.3f} [{low:.3f}, {high:.3f}] of it"
        print(told, flush=True)


def ours(fp32: Path, folder: Path) -> tuple[str, Path, dict[str, str]]:
    """Which candidate ships, its file and its session options."""
    out = folder / "ours"
    command = [sys.executable, "-m", "edgekd", "quantize", str(fp32), "--calibration", str(folder / "all.npy")]
    command += ["--labels", str(folder / "labels.npy"), "--out", str(out)]
    ended = subprocess.run(command, check=False, stdout=2)
    if ended.returncode not in (0, 3):
        raise SystemExit("edgekd quantize failed, as it says above")
    report = json.loads((out / "report.json").read_text())
    (target,) = report["targets"].values()
    return target["chosen"], out / target["file"], target["session"]


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Single samples."""

    def __init__(self, name: str, inputs: Any) -> None:
        self.feeds: Iterator[Feeds] = ({name: each[None]} for each in inputs)

    def get_next(self) -> Feeds | None:
        return next(self.feeds, None)


def default(fp32: Path, name: str, inputs: Any, path: Path) -> Path:
    with quiet():
        quantize_static(fp32, path, Reader(name, inputs))
    return path


def recommended(fp32: Path, name: str, inputs: Any, path: Path) -> Path:
    """Source: ONNX Runtime, Quantize ONNX models: pre-processing; data type selection for x86 with VNNI."""
    prepared = path.with_name("prepared.onnx")
    with quiet():
        quant_pre_process(fp32, prepared)
        quantize_static(
            prepared,
            path,
            Reader(name, inputs),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )
    return path


def olives(python: str, fp32: Path, folder: Path) -> Path:
    work = folder / "olive"
    work.mkdir()
    command = [python, str(OLIVE), str(fp32), str(folder / "some.npy"), str(work)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"Olive failed in {python}, as it says above")
    return Path(ended.stdout.split()[-1])


def parameters(fp32: Path) -> int:
    return sum(int(np.prod(each.dims)) for each in onnx.load(fp32).graph.initializer)


def bound(fp32: Path) -> float:
    """Of the bytes, as above."""
    scales: int = sum(each.dims[0] for each in onnx.load(fp32).graph.initializer if len(each.dims) > 1)
    return 1.10 * (parameters(fp32) + 4 * scales) + 2000


if __name__ == "__main__":
    main()
