"""Digits of 8 x 8 pixels, and networks that learned them for a few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from edgekd.config.export import ExportOptions
from edgekd.data.modalities.base import Feeds, contract_for, feeds_for
from edgekd.graph.export import export_onnx
from edgekd.records.contract import InputSpec, ModelContract


@dataclass(frozen=True)
class Digits:
    """images: uint8 (N, H, W, 1); inputs: float32 (N, 1, H, W), normalised; the last 500 are held out."""

    contract: ModelContract
    images: NDArray[np.uint8]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def train(self) -> Feeds:
        return {"image": self.inputs[:-500]}

    @property
    def held_out(self) -> Feeds:
        return {"image": self.inputs[-500:]}


@pytest.fixture(scope="session")
def digits() -> Digits:
    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    contract = contract_for("image", images, tuple(str(name) for name in bunch.target_names))
    inputs = feeds_for(contract, images)["image"]
    return Digits(contract, images, inputs, bunch.target.astype(np.int64))


def learn(network: nn.Module, feeds: Feeds, labels: NDArray[np.int64], epochs: int = 6) -> nn.Module:
    """The network after some seconds of training, in evaluation mode."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # two threads on a busy machine take ten times as long
    inputs, targets = [torch.from_numpy(array) for array in feeds.values()], torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(targets)).split(64):  # type: ignore[no-untyped-call]  # torch gives no type
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(*(each[batch] for each in inputs)), targets[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # torch gives no type
            optimiser.step()
    return network.eval()


def answers(network: nn.Module, feeds: Feeds) -> NDArray[np.float32]:
    """The logits that torch gives: float32 (N, C)."""
    with torch.no_grad():
        logits: NDArray[np.float32] = network.eval()(*map(torch.from_numpy, feeds.values())).numpy()
    return logits


def contract_of(classes: int = 10, **shapes: tuple[int, ...]) -> ModelContract:
    """A contract of inputs by name, without preprocessing."""
    inputs = tuple(InputSpec(name=name, shape=shape) for name, shape in shapes.items())
    return ModelContract(modality="vector", inputs=inputs, classes=tuple(str(each) for each in range(classes)))


def random_feeds(contract: ModelContract, samples: int) -> Feeds:
    rng = np.random.default_rng(0)
    return {each.name: rng.normal(size=(samples, *each.shape)).astype(np.float32) for each in contract.inputs}


def small_network() -> nn.Module:
    """Convolution, batch norm, ReLU; a residual sum; a depthwise convolution; pooling; linear."""
    torch.manual_seed(0)
    return SmallNetwork()


class SmallNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.BatchNorm2d(16), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = torch.relu(self.second(self.depthwise(x)) + x)
        logits: torch.Tensor = self.head(self.pool(x).mean((2, 3)))
        return logits


@pytest.fixture(scope="session")
def network(digits: Digits) -> nn.Module:
    return learn(small_network(), digits.train, digits.labels[:-500])


@pytest.fixture(scope="session")
def fp32(network: nn.Module, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a file; read it only."""
    path = tmp_path_factory.mktemp("fp32") / "network.onnx"
    export_onnx(network, digits.contract, path, ExportOptions())
    return path


def fitting(scheme: str) -> dict[str, object]:
    """The options with which a scheme of this name has something to do in the small network, whose widths are 16."""
    return {"use": scheme, **({"multiple": 24} if scheme == "padded" else {})}
