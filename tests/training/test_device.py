"""What an accelerator computes. There is none where tests run: torch's device `meta` stands for it. Its tensors refuse
others beside them, as those of a real one do, and have no values, so whatever waits for one in a step fails too."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.config.training import AugmentOptions, TrainingOptions
from edgekd.training import views as views_module
from edgekd.training.execution import Execution
from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.loop import TrainingData
from edgekd.training.objective import objective_from
from edgekd.training.optimizers.orthogonal import OrthogonalMomentum
from edgekd.training.replicas import Replicas
from edgekd.training.teachers import Live
from edgekd.training.views import Views
from edgekd.training.workers import Workers

from .conftest import HINTON

GPU = "meta"
EVERYTHING = AugmentOptions(
    shift=1, rotate=5, scale=0.1, shear=2, crop=1, flip="alternating", noise=0.1, erase=2, mixup=0.2, cutmix=1
)
RESIZED = AugmentOptions(resize=(0.5, 1), flip=True)


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not for `meta`."""
    monkeypatch.setattr(Workers, "arithmetic", lambda _self: nullcontext())
    monkeypatch.setattr(views_module, "memory_of", lambda _device: 2**30)


def network(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * width, 10),
    ).to(GPU)


def views_of(data: TrainingData, augment: AugmentOptions) -> Views:
    options = TrainingOptions(epochs=2, batch_size=64, augment=augment)
    return Views(data.train, data.contract, options, seed=0, section="teacher")


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("augment", [EVERYTHING, RESIZED, AugmentOptions()])
def test_a_step_stays_on_the_device_and_waits_for_nothing(
    data: TrainingData, augment: AugmentOptions, resident: bool
) -> None:
    views, workers = views_of(data, augment), Workers(Execution(device=GPU))
    if resident:
        views.reside(workers.device)
    module, teacher = network(8), Live(network(12))
    student = Replicas(module, workers)
    objective = objective_from(HINTON, Shapes(10, len(data.train), {}, {"teacher": {}}), 0, "distill")
    optimizer = OrthogonalMomentum(
        {"params": module[0].parameters(), "lr": 0.1, "weight_decay": 0}, [{"params": []}], momentum=0.6
    )
    batch = views.batch(np.arange(64), 0, workers)
    assert {each.device.type for each in (*batch.inputs.values(), batch.labels)} == {GPU}
    student.train()
    attempt = student.attempt(batch.inputs)
    assert attempt.answers.logits.device.type == GPU
    loss, _ = objective(Lesson(batch, attempt.answers, {"teacher": teacher(batch, (), workers)}, 0.0))
    loss.backward()
    attempt.backward()
    with torch.no_grad():
        optimizer._step(optimizer.param_groups[0])  # the rest is torch's own AdamW, which has no kernel for `meta`
    assert loss.device.type == GPU
    assert all(each.grad is not None and each.grad.device.type == GPU for each in module.parameters())


def test_the_stand_in_would_notice() -> None:
    with pytest.raises(RuntimeError, match="expected device"):
        torch.ones(2, device=GPU) + torch.ones(2)
    with pytest.raises(RuntimeError, match="item"):
        float(torch.ones((), device=GPU))


def test_samples_that_fill_a_quarter_of_its_memory_are_fed_batch_by_batch(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = len(data.train) * 8 * 8 * 4
    for memory, resident in ((4 * needed, True), (4 * needed - 1, False)):
        monkeypatch.setattr(views_module, "memory_of", lambda _device, memory=memory: memory)
        views = views_of(data, RESIZED)
        views.reside(torch.device(GPU))
        assert (views._resident is not None) == resident
