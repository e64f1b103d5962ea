"""Networks of every form that a scheme meets, as fp32 files with what they are fed; and models made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds
from edgekd.graph.export import export_onnx

from ..conftest import Digits, contract_of, learn


@dataclass(frozen=True)
class Trained:
    """A network that learned the digits, as a file; read it only."""

    fp32: Path
    train: Feeds
    held_out: Feeds


class Halves(nn.Module):
    """The upper half of a digit as an image, the lower one as a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.upper = nn.Conv2d(1, 8, 3, padding=1)
        self.lower = nn.Linear(32, 32)
        self.head = nn.Linear(8 * 32 + 32, 10)

    def forward(self, upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
        seen = torch.cat([self.upper(upper).flatten(1), self.lower(lower)], dim=1)
        logits: torch.Tensor = self.head(torch.relu(seen))
        return logits


FORMS = ("image", "vector", "image and vector")


def form_of(name: str, digits: Digits) -> tuple[nn.Module, Feeds]:
    """A network without weights worth having, and all the digits as its inputs."""
    images = digits.inputs
    if name == "vector":
        mlp = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 10))
        return mlp, {"features": images.reshape(-1, 64)}
    upper, lower = images[:, :, :4], images[:, :, 4:].reshape(-1, 32)
    return Halves(), {"upper": np.ascontiguousarray(upper), "lower": np.ascontiguousarray(lower)}


@pytest.fixture(scope="session", params=FORMS)
def trained(
    request: pytest.FixtureRequest, digits: Digits, fp32: Path, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    if request.param == "image":
        return Trained(fp32, digits.train, digits.held_out)
    torch.manual_seed(0)
    network, feeds = form_of(request.param, digits)
    train = {name: array[:-500] for name, array in feeds.items()}
    path = tmp_path_factory.mktemp("trained") / "network.onnx"
    contract = contract_of(10, **{name: array.shape[1:] for name, array in feeds.items()})
    export_onnx(learn(network, train, digits.labels[:-500]), contract, path, ExportOptions())
    return Trained(path, train, {name: array[-500:] for name, array in feeds.items()})


def agreement(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.mean(one.argmax(axis=1) == other.argmax(axis=1)))


def save_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    tensors: dict[str, NDArray[Any]],
    inputs: dict[str, tuple[int | str, ...]],
    output: tuple[int | str | None, ...],
    *,
    opset: int = 18,
) -> Path:
    """A model of float32 inputs with the output `logits`."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, output)],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def convolution_model(
    path: Path, weights: NDArray[np.float32], bias: NDArray[np.float32], *, groups: int = 1, norm: bool = False
) -> Path:
    """image (batch, C, 8, 8) -> convolution, ReLU, pooling and (batch, O, 1, 1) flattened as the logits."""
    nodes = [helper.make_node("Conv", ["image", "w", "b"], ["c"], pads=[1, 1, 1, 1], group=groups)]
    tensors: dict[str, NDArray[Any]] = {"w": weights, "b": bias}
    last = "c"
    if norm:
        nodes.append(helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]))
        for name, value in (("scale", 0.5), ("shift", 0.25), ("mean", 1.0), ("variance", 4.0)):
            tensors[name] = np.full(len(weights), value, np.float32)
        last = "n"
    nodes += [
        helper.make_node("Relu", [last], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["logits"]),
    ]
    image = ("batch", weights.shape[1] * groups, 8, 8)
    return save_graph(path, nodes, tensors, {"image": image}, ("batch", len(weights)))


def stored(path: Path) -> dict[str, NDArray[Any]]:
    """The constants of a file by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
