"""The loops that training_speed.py compares, each timed in a process of its own: training_loops.py NAME STEPS FOLDER"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from edgekd.agent.machine import cpu_facts
from edgekd.config.pipeline import PipelineConfig, load_pipeline
from edgekd.config.training import TrainingOptions
from edgekd.data.base import Dataset as EdgekdDataset
from edgekd.data.modalities.base import contract_for
from edgekd.data.samples import Split
from edgekd.models.base import Model
from edgekd.progress import Silent
from edgekd.training.execution import execution_here
from edgekd.training.loop import TrainingData, train
from edgekd.training.losses.base import Loss
from edgekd.training.network import build_network
from edgekd.training.recorded import Recordings
from edgekd.training.teachers import Live
from edgekd.training.temperatures.base import Temperature, with_temperature

PIPELINE = Path(__file__).resolve().parents[1] / "pipelines" / "mnist.yaml"
EPOCHS = 2
TEMPERATURE = 4.0


class Images(Dataset[tuple[Tensor, int]]):
    """One image at a time, as torchvision has it."""

    def __init__(self, split: Split, transform: Callable[[Tensor], Tensor]) -> None:
        self.images, self.labels = torch.from_numpy(split.samples).permute(0, 3, 1, 2), split.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.transform(self.images[row]), self.labels[row]


class Job:
    """What all loops do: the networks and options of pipelines/mnist.yaml on `steps` batches of MNIST."""

    def __init__(self, steps: int) -> None:
        self.config: PipelineConfig = load_pipeline(PIPELINE).config
        whole = cast("EdgekdDataset", self.config.data).load(Silent()).train
        rows = np.arange(steps * self.config.teacher.batch_size)
        self.split = whole.take(rows % len(whole))
        self.contract = contract_for("image", whole.samples, tuple("0123456789"))
        self.data = TrainingData(self.split, whole.take(np.arange(100)), self.contract)

    def network(self, model: object) -> nn.Module:
        return build_network(cast("Model", model), self.contract, 0)

    def plain(self, network: nn.Module, options: TrainingOptions, workers: int, teacher: nn.Module | None) -> float:
        """Seconds: epochs of a loop over a DataLoader."""
        augment, preprocessing = options.augment, self.contract.inputs[0].preprocessing
        transform = v2.Compose(
            [
                v2.RandomAffine(
                    degrees=augment.rotate,
                    translate=(augment.shift / 28, augment.shift / 28),
                    scale=(1 - augment.scale, 1 + augment.scale),
                    interpolation=v2.InterpolationMode.BILINEAR,
                ),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(preprocessing["mean"], preprocessing["std"]),
            ]
        )
        loader = DataLoader(
            Images(self.split, transform),
            options.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        network.train()
        started_s = time.perf_counter()
        for _ in range(EPOCHS):
            for images, labels in loader:
                logits = network(images)
                loss = functional.cross_entropy(logits, labels)
                if teacher is not None:
                    with torch.no_grad():
                        soft = functional.log_softmax(teacher(images) / TEMPERATURE, dim=1)
                    mine = functional.log_softmax(logits / TEMPERATURE, dim=1)
                    loss = 0.1 * loss + 0.9 * TEMPERATURE**2 * functional.kl_div(
                        mine, soft, reduction="batchmean", log_target=True
                    )
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
        return time.perf_counter() - started_s

    def edgekd(self, network: nn.Module, options: TrainingOptions, teacher: nn.Module | None, work: Path) -> float:
        """Seconds: the whole of `train`, validation and checkpoints too; a folder that is used again has recordings."""
        losses = cast("list[Loss]", self.config.distill.losses)
        losses = with_temperature(losses, cast("Temperature", self.config.distill.temperature))
        options = options.model_copy(update={"epochs": EPOCHS})
        (work / "training").mkdir(parents=True, exist_ok=True)
        for path in (work / "training").iterdir():
            path.unlink()
        started_s = time.perf_counter()
        train(
            network,
            losses if teacher is not None else [loss for loss in losses if not loss.taught],
            self.data,
            options,
            seed=0,
            execution=execution_here(options, cpu_facts()["isa"]),
            work=work / "training",
            progress=Silent(),
            section="distill",
            name="network",
            teachers={} if teacher is None else {"teacher": Live(teacher)},
            recordings=None if teacher is None else Recordings(work / "answers", {"teacher": "the same"}),
        )
        return time.perf_counter() - started_s


def measured(name: str, steps: int, folder: Path) -> float:
    """Images a second of the loop of that name."""
    kind, _, variant = name.partition(", ")
    job = Job(steps if kind == "teacher" else 4 * steps)
    teacher = job.network(job.config.teacher.model)
    seconds: float
    if kind == "teacher":
        seconds = (
            job.edgekd(teacher, job.config.teacher, None, folder)
            if variant == "edgekd"
            else job.plain(teacher, job.config.teacher, int(variant[0]), None)
        )
    else:
        student = job.network(job.config.student.model)
        seconds = (
            job.plain(student, job.config.distill, int(variant[0]), teacher.eval())
            if variant.endswith("workers")
            else job.edgekd(student, job.config.distill, teacher, folder)
        )
    return EPOCHS * len(job.split) / seconds


if __name__ == "__main__":
    print(measured(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
