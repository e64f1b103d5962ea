"""A training small enough for tests: the bundled digits and a few hundred weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.data.digits import Digits
from edgekd.data.modalities.base import contract_for
from edgekd.data.split import stratified_split
from edgekd.progress import Advance, Silent
from edgekd.training.execution import Execution
from edgekd.training.lesson import Shapes
from edgekd.training.loop import TrainingData, TrainingResult, train
from edgekd.training.losses.base import Loss, Term
from edgekd.training.losses.cross_entropy import CrossEntropy
from edgekd.training.losses.kd import SoftTargets
from edgekd.training.recorded import Recordings
from edgekd.training.teachers import Teaching
from edgekd.training.temperatures.fixed import Fixed

OPTIONS = TrainingOptions(
    epochs=3,
    batch_size=100,
    learning_rate=0.01,
    augment=AugmentOptions(shift=1, rotate=10),
)
LABELS: list[Loss] = [CrossEntropy(use="cross_entropy")]
HINTON: list[Loss] = [
    CrossEntropy(use="cross_entropy", weight=0.1),
    SoftTargets(use="kd", weight=0.9, temperature=Fixed(use="fixed", value=4.0)),
]
IN_ONE = Execution()
NOBODY: Mapping[str, Teaching] = {}


@pytest.fixture(scope="session")
def data() -> TrainingData:
    labelled = Digits(use="digits").load(Silent())
    kept, held = stratified_split(labelled.train.labels, 200, seed=0)
    train_split = labelled.train.take(kept)
    contract = contract_for("image", train_split.samples, labelled.classes)
    return TrainingData(train_split, labelled.train.take(held), contract)


def run(
    model: nn.Module,
    data: TrainingData,
    work: Path,
    *,
    losses: Sequence[Loss] = LABELS,
    options: TrainingOptions = OPTIONS,
    teachers: Mapping[str, Teaching] = NOBODY,
    progress: Silent | None = None,
    execution: Execution = IN_ONE,
    recordings: Recordings | None = None,
    seed: int = 0,
) -> TrainingResult:
    """A training with what a test does not care about filled in."""
    return train(
        model,
        losses,
        data,
        options,
        seed=seed,
        execution=execution,
        work=work,
        progress=progress or Silent(),
        section="teacher",
        name="network",
        teachers=teachers,
        recordings=recordings,
    )


def own(term: Term, *, weight: float = 1.0, needs_teacher: bool = False) -> Loss:
    """A loss that is this function or module."""

    class Own(Loss):
        @property
        def taught(self) -> bool:
            return needs_teacher

        def build(self, shapes: Shapes) -> Term:
            return term

    return Own(use="own", weight=weight)


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
