"""A training small enough for tests: the bundled digits and a few hundred weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.contract import contract_from
from edgekd.data.digits import Digits
from edgekd.data.split import stratified_split
from edgekd.progress import Advance, Silent
from edgekd.records.contract import ModelContract
from edgekd.training.loop import TrainingData

OPTIONS = TrainingOptions(
    epochs=3,
    batch_size=100,
    learning_rate=0.01,
    augment=AugmentOptions(shift=1, rotate=10),
    precision="float32",
)


@pytest.fixture(scope="session")
def digits() -> tuple[TrainingData, ModelContract]:
    images = Digits(use="digits").load(Silent())
    kept, held = stratified_split(images.train.labels, 200, seed=0)
    contract = contract_from(images.train.images[kept], images.classes)
    return TrainingData(images.train.take(kept), images.train.take(held), contract.image), contract


@pytest.fixture
def data(digits: tuple[TrainingData, ModelContract]) -> TrainingData:
    return digits[0]


def network(seed: int = 0) -> nn.Module:
    """With batch norm, whose statistics must survive too, and dropout, which draws random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, 2, 1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(48, 10),
        )


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer."""
    return {name: each.detach().clone() for name, each in module.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    """Bit for bit."""
    return left.keys() == right.keys() and all(torch.equal(each, right[name]) for name, each in left.items())


class StoppedError(Exception):
    """Stands for whatever ends a run at any step."""


class StopAfter(Silent):
    """A `Progress` that ends the run after so many steps, and keeps what it is told."""

    def __init__(self, steps: int | None = None) -> None:
        self.left = steps
        self.lines: list[str] = []
        self.notes: list[str] = []
        self.steps = 0
        self.total = 0

    def say(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        self.total = total

        def advance(amount: int = 1, *, note: str | None = None) -> None:
            self.steps += amount
            if note:
                self.notes.append(note)
            if self.left is not None and amount == 1:
                self.left -= 1
                if self.left < 0:
                    raise StoppedError

        yield advance


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder
