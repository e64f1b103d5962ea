"""A temperature that climbs the loss: what moves it, and what it leaves alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from edgekd.config.component import component_class
from edgekd.config.registry import OPTIMIZERS
from edgekd.config.training import TrainingOptions
from edgekd.training.checkpoint import Trained, load_checkpoint, save_checkpoint
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.base import Loss
from edgekd.training.losses.kd import SoftTargets, soft_target_loss
from edgekd.training.objective import Objective, objective_from
from edgekd.training.optimizers.base import Optimizer
from edgekd.training.temperatures.adversary import Adversary, reversed_gradient
from edgekd.training.temperatures.base import with_temperature
from edgekd.training.temperatures.fixed import Fixed
from edgekd.training.temperatures.learned import Learned

EVERY = pytest.mark.parametrize("use", OPTIMIZERS.members)
OPTIONS = TrainingOptions(epochs=1, learning_rate=0.01, weight_decay=0.5)
START = 1 + 20 / (1 + math.exp(-1))


def learned(**options: float) -> Learned:
    return Learned.model_validate({"use": "learned", **options})


def kd(**options: float) -> Loss:
    return SoftTargets(use="kd", temperature=learned(**options))


def logits(seed: int) -> Tensor:
    return 3 * torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))


def lesson(student: Tensor, progress: float) -> Lesson:
    labels = torch.zeros(8, dtype=torch.int64)
    return Lesson(Batch({}, labels, labels.numpy(), 0), Answers(student), {"teacher": Answers(logits(1))}, progress)


def objective(*losses: Loss) -> Objective:
    return objective_from(losses, Shapes(4, 8, {}, {"teacher": {}}), seed=0, section="distill")


def theta_of(made: nn.Module) -> nn.Parameter:
    (theta,) = made.parameters()
    return theta


def trained(use: str) -> Trained:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    made = objective(kd())
    method = component_class(OPTIMIZERS, use).model_validate({"use": use})
    assert isinstance(method, Optimizer)
    return Trained(model, made, method.build(model, made, OPTIONS, classes=4))


def step(run: Trained, progress: float, seed: int = 2) -> float:
    """The loss before the step."""
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
    run.optimizer.zero_grad()
    total, _ = run.objective(lesson(run.model(inputs), progress))
    total.backward()
    run.optimizer.step()
    return float(total.detach())


def test_it_begins_where_the_authors_code_does() -> None:
    schedule = learned().build()
    assert float(torch.as_tensor(schedule(0.0)).detach()) == pytest.approx(START)


@given(theta=st.floats(-50, 50), lowest=st.floats(0.5, 5), span=st.floats(0.5, 50))
def test_whatever_is_learned_it_stays_in_its_range(theta: float, lowest: float, span: float) -> None:
    made = Adversary(lowest, span, 0.1).double()
    nn.init.constant_(made.theta, theta)
    assert lowest <= float(made(0.5).detach()) <= lowest + span


def test_the_strength_rises_along_half_a_cosine_in_10_of_240_epochs_as_published() -> None:
    schedule = Adversary(1, 20, 10 / 240)
    for epoch in range(241):
        published = (1 - math.cos(min(epoch, 10) / 10 * math.pi)) / 2
        assert schedule.strength(epoch / 240) == pytest.approx(published, abs=1e-12)
    assert learned().rising == pytest.approx(10 / 240, abs=2e-3)
    assert Adversary(1, 20, 0).strength(0.0) == 1


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_a_reversed_gradient_leaves_values_alone_bit_for_bit(strength: float) -> None:
    values = torch.randn(100, generator=torch.Generator().manual_seed(0)).requires_grad_()
    result = reversed_gradient(values, strength)
    assert torch.equal(result, values)
    result.square().sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    torch.testing.assert_close(values.grad, -strength * 2 * values.detach())


@pytest.mark.parametrize("seed", [0, 2, 3, 4])
def test_a_step_down_its_gradient_raises_the_loss(seed: int) -> None:
    """With the sign of an ordinary gradient it would learn the easiest temperature."""
    made = objective(kd())
    theta = theta_of(made)
    before, _ = made(lesson(logits(seed), 1.0))
    before.backward()
    assert theta.grad is not None
    assert float(theta.grad) != 0
    with torch.no_grad():
        theta.sub_(0.1 * theta.grad.sign())
    after, _ = made(lesson(logits(seed), 1.0))
    assert float(after.detach()) > float(before.detach())


def test_its_gradient_is_minus_the_strength_times_the_losses_own_with_the_factor_of_the_temperature_squared() -> None:
    theta = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    student, teacher = logits(0).double(), logits(1).double()
    plain = soft_target_loss(student, teacher, 1 + 20 * torch.sigmoid(theta))
    (own,) = torch.autograd.grad(plain, theta)
    for progress, strength in ((0.0, 0.0), (0.02, 0.5), (0.04, 1.0), (1.0, 1.0)):
        made = Adversary(1, 20, 0.04).double()
        (found,) = torch.autograd.grad(soft_target_loss(student, teacher, made(progress)), theta_of(made))
        assert float(found) == pytest.approx(-strength * float(own), rel=1e-12)


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_the_students_gradient_is_the_ordinary_one(progress: float) -> None:
    gradients = []
    for temperature in (learned(), Fixed(use="fixed", value=START)):
        student = logits(0).requires_grad_()
        total, _ = objective(SoftTargets(use="kd", temperature=temperature))(lesson(student, progress))
        gradients.append(torch.autograd.grad(total, student)[0])
    torch.testing.assert_close(gradients[0], gradients[1])


@EVERY
def test_every_optimizer_moves_it_up_the_loss_and_not_at_all_without_strength(use: str) -> None:
    run = trained(use)
    theta = theta_of(run.objective)
    step(run, 0.0)
    assert float(theta.detach()) == 1, "strength 0, and no decay either"
    teacher = logits(1)
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(2))
    student = run.model(inputs).detach()
    before = float(theta.detach())
    step(run, 1.0)
    after = float(theta.detach())
    assert after != before
    losses = [float(soft_target_loss(student, teacher, 1 + 20 / (1 + math.exp(-each)))) for each in (before, after)]
    assert losses[1] > losses[0]


@EVERY
def test_no_optimizer_lets_it_decay(use: str) -> None:
    run = trained(use)
    theta = theta_of(run.objective)
    (decay,) = (
        group["weight_decay"] for group in run.optimizer.param_groups if any(each is theta for each in group["params"])
    )
    assert decay == 0


@EVERY
def test_a_checkpoint_holds_it(use: str, tmp_path: Path) -> None:
    whole, stopped, resumed = trained(use), trained(use), trained(use)
    for seed in range(4):
        step(whole, 0.5, seed)
    for seed in range(2):
        step(stopped, 0.5, seed)
    save_checkpoint(tmp_path, stopped, run="this", epochs=(), seconds=0.0)
    assert load_checkpoint(tmp_path, resumed, run="this") is not None
    assert torch.equal(theta_of(resumed.objective), theta_of(stopped.objective))
    for seed in range(2, 4):
        step(resumed, 0.5, seed)
    assert torch.equal(theta_of(resumed.objective), theta_of(whole.objective))
    assert float(theta_of(whole.objective).detach()) != 1


def test_each_term_has_one_of_its_own() -> None:
    losses = with_temperature([SoftTargets(use="kd"), SoftTargets(use="kd", weight=2)], learned())
    assert len(list(objective(*losses).parameters())) == 2


@pytest.mark.parametrize("wrong", [{"lowest": 0.0}, {"span": 0.0}, {"span": 501.0}, {"rising": 1.5}, {"rising": -0.1}])
def test_options_that_make_no_temperature_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        learned(**wrong)
