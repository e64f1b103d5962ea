"""ONNX models of known relative cost, for the latency benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def stack(path: Path, layers: int, channels: int, size: int) -> Path:
    """`layers` equal 3x3 convolutions with ReLU: the time is proportional to their number, but for the call."""
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 1 / np.sqrt(9 * channels), (channels, channels, 3, 3)).astype(np.float32)
    nodes, current = [], "x"
    for number in range(layers):
        nodes.append(helper.make_node("Conv", [current, "w"], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        current = f"r{number}"
    nodes += [helper.make_node("GlobalAveragePool", [current], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    return _save(path, nodes, [numpy_helper.from_array(weights, "w")], [1, channels, size, size], [1, channels])


def empty(path: Path) -> Path:
    """One number in, the same number out: what remains is the call."""
    return _save(path, [helper.make_node("Identity", ["x"], ["y"])], [], [1], [1])


def _save(
    path: Path, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], shape: list[int], output: list[int]
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
