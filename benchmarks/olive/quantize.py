"""Olive's static quantization with its defaults, in Olive's own environment: quantize.py MODEL.onnx INPUTS.npy FOLDER

The last line that it prints is the path of the file.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from olive.data.component.dataset import BaseDataset
from olive.data.config import DataComponentConfig, DataConfig
from olive.data.registry import Registry
from olive.model import ONNXModelHandler
from olive.passes.olive_pass import create_pass_from_dict
from olive.passes.onnx.quantization import OnnxStaticQuantization


class Samples(BaseDataset):  # type: ignore[misc]  # Olive has no types
    """Single inputs (1, ...), by the model's input name, with a label that nobody reads."""

    def __init__(self, name: str, inputs: Any) -> None:
        self.name, self.inputs = name, inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, row: int) -> tuple[dict[str, Any], int]:
        return {self.name: self.inputs[row]}, 0

    def __iter__(self) -> Iterator[tuple[dict[str, Any], int]]:
        return (self[row] for row in range(len(self)))


@Registry.register_dataset()  # type: ignore[untyped-decorator]
def given_samples(name: str, path: str, **_: Any) -> Samples:
    return Samples(name, np.load(path))


def main() -> None:
    model, inputs, folder = map(Path, sys.argv[1:])
    (name,) = (each.name for each in onnx.load(model).graph.input)
    data = DataConfig(
        name="calibration",
        load_dataset_config=DataComponentConfig(
            type="given_samples", params={"name": name, "path": str(inputs.resolve())}
        ),
    )
    quantizing = create_pass_from_dict(OnnxStaticQuantization, {"data_config": data}, disable_search=True)
    made = quantizing.run(ONNXModelHandler(str(model)), str(folder / "olive.onnx"))
    print(made.model_path)


if __name__ == "__main__":
    main()
