"""What calibrating on many large images takes: python benchmarks/calibration_memory.py [--images 10000]

It makes random images with coarse shapes, as photographs have, in a file as the store keeps them, and a depthwise
separable network with random weights for them, and finds the ranges of its activations with each method: by edgekd on
all images, by ONNX Runtime's own calibrator on so few that its memory suffices (it holds the activations of all samples
that it is given at once, and is given all at once, as `quantize_static` does). Each runs in a process of its own. Of
each it tells the time and the peak of resident memory (goal: under 1.5 GiB). The disk needs 1.5 GB for 10,000 images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import contract_for
from edgekd.graph.export import export_onnx
from edgekd.models.ds_cnn import DepthwiseSeparable
from edgekd.records.arrays import Parts, save_arrays

GIB = 2**30
DIFFERENT = 256  # images, under many rows
OURS, RUNTIMES = ("minmax", "percentile", "entropy", "mse"), ("MinMax", "Percentile", "Entropy")

# what both need beside calibrating: the file prepared, and the samples as they lie on the disk
START = """
import json, sys, time
from pathlib import Path
folder, method = Path(sys.argv[1]), sys.argv[2]
import numpy as np
from onnxruntime.quantization import quant_pre_process
from edgekd.data.modalities.base import fed_rows
from edgekd.graph.quantization.static import OPERATORS
from edgekd.records.arrays import StoredArray
from edgekd.records.contract import ModelContract
contract = ModelContract.model_validate_json((folder / "contract.json").read_text())
feeds = fed_rows(contract, StoredArray(folder / "images.npz", "samples"))
quant_pre_process(folder / "network.onnx", folder / "prepared.onnx", skip_symbolic_shape=True)
begin = time.monotonic()
"""
END = """
seconds = time.monotonic() - begin
# what getrusage tells counts the memory of the process that started this one
status = Path("/proc/self/status").read_text().splitlines()
print(json.dumps({
    "seconds": seconds,
    "peak": 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1]),
    "activations": len(ranges.data),
}))
"""
EDGEKD = f"""{START}
from edgekd.graph.quantization.calibrate import Calibration, activation_ranges
ranges = activation_ranges(folder / "prepared.onnx", feeds, Calibration(method), OPERATORS)
{END}"""
RUNTIME = f"""{START}
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator
from edgekd.graph.quiet import quiet

class Reader(CalibrationDataReader):
    def __init__(self, number):
        self.rows = iter(range(number))
    def get_next(self):
        row = next(self.rows, None)
        return None if row is None else {{name: each[row : row + 1] for name, each in feeds.items()}}

with quiet():
    calibrator = create_calibrator(
        folder / "prepared.onnx", list(OPERATORS), augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod[method],
    )
    calibrator.collect_data(Reader(int(sys.argv[3])))
    ranges = calibrator.compute_data()
{END}"""


def images(number: int, side: int) -> Iterator[NDArray[np.uint8]]:
    """uint8 (n, side, side, 3) in parts: coarse patches under fine noise."""
    generator = np.random.default_rng(0)
    cells = -(-side // 16)
    coarse = generator.integers(0, 224, (DIFFERENT, cells, cells, 3), dtype=np.uint8)
    shown = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :side, :side]
    shown = shown + generator.integers(0, 32, shown.shape, dtype=np.uint8)
    for start in range(0, number, DIFFERENT):
        yield shown[: number - start]


def make(folder: Path, number: int, side: int, width: int) -> None:
    save_arrays(
        folder / "images.npz", {"samples": Parts((number, side, side, 3), np.dtype(np.uint8), images(number, side))}
    )
    contract = contract_for("image", next(images(16, side)), tuple(map(str, range(10))))
    torch.manual_seed(0)
    network = DepthwiseSeparable(use="ds_cnn", width=width, depth=2, stages=4, stride=2).build(contract)
    network.train()
    with torch.no_grad():  # so that batch norms know what they normalise
        feeds = torch.from_numpy(next(images(16, side)).transpose(0, 3, 1, 2).astype(np.float32) / 255 - 0.5)
        for _ in range(20):
            network(feeds)
    export_onnx(network, contract, folder / "network.onnx", ExportOptions())
    (folder / "contract.json").write_text(contract.model_dump_json())


def measured(program: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr or f"ended by signal {-done.returncode}: out of memory?")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--runtime-images", type=int, default=64, help="of them for ONNX Runtime's own calibrator")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--width", type=int, default=8, help="channels of the network's first stage")
    parser.add_argument("--methods", default=",".join((*OURS, *RUNTIMES)), help="some of them, with commas between")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.images, options.side, options.width)
        size = (Path(folder) / "images.npz").stat().st_size
        print(f"{options.images:,} images of 3 x {options.side} x {options.side}, {size / GIB:.2f} GiB on the disk")
        print(f"{'calibrator':24}{'images':>8}{'peak memory GiB':>17}{'s':>8}{'ms an image':>13}", flush=True)
        for method in options.methods.split(","):
            ours = method in OURS
            number = options.images if ours else min(options.images, options.runtime_images)
            found = measured(EDGEKD if ours else RUNTIME, folder, method, str(number))
            title = f"edgekd {method}" if ours else f"ONNX Runtime {method}"
            print(
                f"{title:24}{number:8,}{found['peak'] / GIB:17.2f}{found['seconds']:8.0f}"
                f"{1000 * found['seconds'] / number:13.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
