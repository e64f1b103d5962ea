"""Tiny ONNX models with known answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekd.devices.local import Local


def save_model(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, np.ndarray] | None = None,
    *,
    shape: Sequence[int | str] = ("n", 4),
    output: Sequence[int | str] | None = None,
    opset: int = 17,
    domains: Sequence[str] = (),
) -> Path:
    """A model from `x` to `y`, both float32."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output or shape)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def convolutions(path: Path, channels: int, depth: int, size: int, batch: int | str = "n") -> Path:
    """A stack of 3x3 convolutions with ReLU, pooled: x (N, 1, size, size) to y (N, channels)."""
    generator = np.random.default_rng(0)
    nodes, constants, current, before = [], {}, "x", 1
    for number in range(depth):
        constants[f"w{number}"] = generator.normal(0, 0.2, (channels, before, 3, 3)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [current, f"w{number}"], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        current, before = f"r{number}", channels
    nodes += [helper.make_node("GlobalAveragePool", [current], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    return save_model(path, nodes, constants, shape=(batch, 1, size, size), output=(batch, channels))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`small` takes some 15 µs, `big` some 40 times as long."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "small": convolutions(folder / "small.onnx", 8, 3, 14),
        "big": convolutions(folder / "big.onnx", 32, 6, 28),
    }


@pytest.fixture
def local() -> Local:
    return Local(use="local")
