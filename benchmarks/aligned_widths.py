"""Widths that suit the kernels: python benchmarks/aligned_widths.py

Students of shipped pipelines, untrained: with their own widths, with these rounded before training (`aligned`), and
filled up with zeros afterwards (`use: padded`). For each: parameters, how often the runtime leaves its blocks of
channels here, the time against the first one (interleaved, fresh loads), and where instructions can be counted, those
on an emulated Cortex-A72.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from edgekd.config.export import ExportOptions
from edgekd.config.target import Measuring
from edgekd.devices.local import Local
from edgekd.devices.qemu import Qemu
from edgekd.graph.export import export_onnx
from edgekd.graph.inspect import describe
from edgekd.graph.layout import layout_of
from edgekd.graph.quantization.padded import Padded
from edgekd.harness.counting import counted
from edgekd.harness.driver import measure
from edgekd.harness.optimising import Wanted, optimise
from edgekd.harness.subject import Subject
from edgekd.models.base import Model
from edgekd.models.conv import ConvStack
from edgekd.models.ds_cnn import DepthwiseSeparable
from edgekd.models.ds_resnet import SeparableResNet
from edgekd.progress import Silent
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.records.runtime import RuntimeSettings

EMULATED = "cortex-a72"
PADDED = "padded to 16"


def conv(width: int, growth: float, **options: Any) -> ConvStack:
    return ConvStack(use="conv", width=width, growth=growth, **options)


def separable(width: int, **options: Any) -> DepthwiseSeparable:
    return DepthwiseSeparable(use="ds_cnn", width=width, growth=1.5, stride=2, **options)


def photographs(stem: int) -> SeparableResNet:
    return SeparableResNet(use="ds_resnet", stem=stem, width=96, blocks=(3, 4))


Shapes = dict[str, tuple[tuple[int, int, int], dict[str, Model]]]
SHAPES: Shapes = {
    "digits": (
        (1, 8, 8),
        {
            "12, 18": conv(12, 1.5, depth=2, stages=2),
            "8, 16": conv(8, 2.0, depth=2, stages=2),
            "aligned: 8": conv(12, 1.5, depth=2, stages=2, aligned=8),
            "aligned: 16": conv(12, 1.5, depth=2, stages=2, aligned=16),
        },
    ),
    "mnist": (
        (1, 28, 28),
        {
            "9, 13, 19": conv(9, 1.45, depth=2, stride=2),
            "aligned: 8": conv(9, 1.45, depth=2, stride=2, aligned=8),
            "aligned: 16": conv(9, 1.45, depth=2, stride=2, aligned=16),
            "8, 16, 24": conv(8, 1.7, depth=2, stride=2, aligned=8),
            "16, 16, 16, depth 1": conv(16, 1.0, stride=2),
            "16, 16, 32, depth 1": conv(16, 1.4, stride=2, aligned=16),
            "16, 32, 32, depth 1": conv(16, 1.7, stride=2, aligned=16),
        },
    ),
    "ds_cnn": (
        (1, 28, 28),
        {"12, 18, 27": separable(12), "aligned: 8": separable(12, aligned=8), "aligned: 16": separable(12, aligned=16)},
    ),
    "cifar10": ((3, 32, 32), {"stem 24": photographs(24), "stem 16": photographs(16), "stem 32": photographs(32)}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of measuring, for each network")
    parser.add_argument("--only", choices=SHAPES, help="one network")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device, emulated = Local(use="local"), Qemu(use="qemu", cpu=EMULATED)
    counts_there = bool(emulated.recipe.ready and emulated.counts)
    print(f"{platform.machine()}, ONNX Runtime {onnxruntime.__version__}, load {os.getloadavg()[0]:.1f}")
    print("| network | widths | parameters | bytes | leaves its blocks | time | instructions, Cortex-A72 |")
    print("|---|---|---|---|---|---|---|")
    for network, (shape, models) in SHAPES.items():
        if options.only in (None, network):
            with tempfile.TemporaryDirectory() as name:
                subjects = files(shape, models, Path(name))
                times = measure(
                    device,
                    RuntimeSettings(),
                    Measuring(seconds=options.seconds),
                    subjects,
                    [(each, next(iter(subjects))) for each in list(subjects)[1:]],
                    0,
                    Silent(),
                )
                graphs = {each: Path(name) / f"made-{number}.onnx" for number, each in enumerate(subjects)}
                wanted = {path: Wanted(each, "all", "ONNX") for each, path in graphs.items()}
                optimise(device, RuntimeSettings(), subjects, wanted)
                counts = counted(emulated, RuntimeSettings(), subjects) if counts_there else {}
                for each, subject in subjects.items():
                    pair = next((pair for pair in times.comparisons if pair.model == each), None)
                    low, high = pair.interval if pair and pair.interval else (1.0, 1.0)
                    facts, layout = describe(subject.path), layout_of(subject.path, graphs[each], {})
                    print(
                        f"| {network} | {each} | {facts.parameters:,} | {facts.size_bytes:,} "
                        f"| {layout.reorders + layout.outside if layout.blocks else '–'} "
                        f"| {f'{pair.ratio:.2f} [{low:.2f}, {high:.2f}]' if pair else '1'} "
                        f"| {f'{counts[each].median:,}' if each in counts else '–'} |",
                        flush=True,
                    )


def files(shape: tuple[int, int, int], models: dict[str, Model], folder: Path) -> dict[str, Subject]:
    """The fp32 file of each, and that of the first one filled up with zeros."""
    inputs = (InputSpec(name="image", shape=shape),)
    contract = ModelContract(modality="image", inputs=inputs, classes=tuple("0123456789"))
    made = {}
    for number, (name, model) in enumerate(models.items()):
        torch.manual_seed(0)
        path = folder / f"{number}.onnx"
        export_onnx(_learned(model.build(contract)), contract, path, ExportOptions())
        made[name] = Subject(path)
    padded = Padded(use="padded", weights="float32")
    path = folder / "padded.onnx"
    path.write_bytes(padded.apply(next(iter(made.values())).path, {}, {}))
    return {**made, PADDED: Subject(path, session=padded.session)}


def _learned(network: torch.nn.Module) -> torch.nn.Module:
    """With the biases that training gives it: the exporter leaves out those that are zero."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d) and layer.bias is not None:
            torch.nn.init.normal_(layer.bias)
    return network


if __name__ == "__main__":
    main()
