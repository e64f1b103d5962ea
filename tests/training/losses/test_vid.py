from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers, Lesson
from edgekd.training.losses.base import Loss, Term
from edgekd.training.losses.variational import Variational
from edgekd.training.losses.vid import surprise
from edgekd.training.objective import objective_from
from edgekd.training.optimizers.adamw import AdamW

from .conftest import LAYER, VALUES, built, lesson, loss, shapes_of, tensor
from .features import gradient, must_bear_anything, random


def between(student: Tensor, *teachers: Tensor) -> Lesson:
    given = lesson()
    return Lesson(
        batch=given.batch,
        student=Answers(given.student.logits, {LAYER: student}),
        teachers={f"t{number}": Answers(given.student.logits, {LAYER: each}) for number, each in enumerate(teachers)},
        progress=0.0,
    )


def gaussians(term: Term) -> list[Variational]:
    assert isinstance(term, nn.Module)
    return [each for each in term.modules() if isinstance(each, Variational)]


def identity(gaussian: Variational) -> None:
    """Makes the learned mean the identity, of features that are positive."""
    for layer in gaussian.mean.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight)


def test_it_has_the_published_value() -> None:
    five = torch.full((2,), 5.0, dtype=torch.float64)
    found = float(surprise(tensor("fs"), tensor("ft"), five))
    assert found == pytest.approx(VALUES["vid_identity_variance5"], abs=5e-11)


def test_behind_a_mean_that_changes_nothing_the_term_starts_at_the_published_value() -> None:
    given = between(tensor("fs"), tensor("ft"))
    term = built(loss("vid"), given=given)
    identity(*gaussians(term))
    assert float(term(given).detach()) == pytest.approx(VALUES["vid_identity_variance5"], rel=1e-7)


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4, 2)])
def test_it_is_the_mean_surprise_under_a_gaussian_without_its_constant(shape: tuple[int, ...]) -> None:
    mean, teacher = random(1, *shape).numpy(), random(2, *shape).numpy()
    variance = [0.3, 1.0, 7.0]
    total = 0.0
    for index in np.ndindex(*shape):
        own = variance[index[1]]
        density = math.exp(-((teacher[index] - mean[index]) ** 2) / (2 * own)) / math.sqrt(2 * math.pi * own)
        total -= math.log(density) + math.log(2 * math.pi) / 2
    found = float(surprise(torch.tensor(mean), torch.tensor(teacher), torch.tensor(variance, dtype=torch.float64)))
    assert found == pytest.approx(total / math.prod(shape), rel=1e-12)


@given(st.integers(0, 10**6))
def test_the_best_variance_of_a_channel_is_its_mean_squared_error(seed: int) -> None:
    mean, teacher = random(seed, 4, 3, 2, 2), 3 * random(seed + 1, 4, 3, 2, 2)
    best = (teacher - mean).square().mean((0, 2, 3))
    slope = gradient(lambda variance, _: surprise(mean, teacher, variance), best, teacher)[1]
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)
    at_best = float(surprise(mean, teacher, best))
    assert at_best == pytest.approx(float(0.5 * (1 + best.log()).mean()), rel=1e-9)
    assert float(surprise(mean, teacher, best * (1 + random(seed, 3).square()))) > at_best


@pytest.mark.parametrize("variance", [0.001, 1.0, 5.0, 1000.0])
def test_the_variance_starts_where_it_is_told(variance: float) -> None:
    (gaussian,) = gaussians(built(loss("vid", initial_variance=variance)))
    torch.testing.assert_close(gaussian.variance, torch.full((2,), variance, dtype=torch.float64), rtol=1e-4, atol=0)


def test_no_variance_cannot_be_told() -> None:
    with pytest.raises(ValidationError, match="greater than or equal"):
        loss("vid", initial_variance=0)


def settled(made: Loss, given: Lesson, steps: int = 400) -> nn.Module:
    """The objective after steps of AdamW, as a training makes them."""
    objective = objective_from([made], shapes_of(given), seed=0, section="distill").double()
    options = TrainingOptions(epochs=1, learning_rate=0.05, weight_decay=0.1)
    optimizer = AdamW(use="adamw").build(nn.Linear(1, 4), objective, options, classes=4)
    for _ in range(steps):
        optimizer.zero_grad()
        objective(given)[0].backward()
        optimizer.step()
    return objective


def test_the_variance_is_among_what_is_trained_and_is_not_decayed() -> None:
    """Published code kept the parameters of its losses in a plain list, where no optimizer found them."""
    given = between(tensor("fs"), tensor("ft"), tensor("ft"))
    objective = objective_from([loss("vid")], shapes_of(given), seed=0, section="distill")
    alphas = [each.alpha for each in gaussians(objective)]
    assert len(alphas) == 2
    optimizer = AdamW(use="adamw").build(nn.Linear(1, 4), objective, TrainingOptions(epochs=1), classes=4)
    decays = {id(each): group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    assert [decays[id(each)] for each in alphas] == [0.0, 0.0]
    assert [name for name in objective.state_dict() if name.endswith("alpha")]


def test_in_training_the_variance_of_each_channel_moves_to_what_the_mean_cannot_tell() -> None:
    """The teacher's first channel follows from the student's, and its second is noise of variance 4."""
    student = random(1, 256, 2, 2, 2).abs()
    teacher = torch.stack([student[:, 0], 2 * random(2, 256, 2, 2)], dim=1)
    (gaussian,) = gaussians(settled(loss("vid"), between(student, teacher)))
    told, noise = gaussian.variance.tolist()
    assert told < 0.1
    assert noise == pytest.approx(4, rel=0.2)


def test_every_teacher_has_its_own_mean_and_variance() -> None:
    student = random(1, 3, 2, 2, 2)
    given = between(student, random(2, 3, 2, 2, 2), random(3, 3, 5, 4, 4))
    assert [len(each.alpha) for each in gaussians(built(loss("vid"), given=given))] == [2, 5]


@pytest.mark.parametrize("sizes", [((4, 6), (2, 3)), ((2, 3), (4, 6)), ((4, 3), (2, 6))])
def test_the_larger_maps_are_averaged_on_each_axis(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    mine, theirs = (random(seed, 3, 4, *size) for seed, size in enumerate(sizes))
    given = between(mine, theirs)
    small = between(
        *(each.reshape(3, 4, 2, each.shape[2] // 2, 3, each.shape[3] // 3).mean((3, 5)) for each in (mine, theirs))
    )
    term = built(loss("vid"), given=given)
    assert float(term(given).detach()) == pytest.approx(float(term(small).detach()), rel=1e-10)


def test_vectors_are_told_by_a_linear_layer() -> None:
    given = between(tensor("es")[:3], tensor("et")[:3])
    (gaussian,) = gaussians(built(loss("vid"), given=given))
    assert isinstance(gaussian.mean, nn.Linear)
    assert gaussian.alpha.shape == (4,)


def test_with_two_channels_the_student_is_taught_from_every_seed() -> None:
    """Between three convolutions a plain ReLU is off for all samples from one seed of four."""
    features = tensor("fs")[:3]
    for seed in range(40):
        term = built(loss("vid"), seed=seed)

        def value(student: Tensor, teacher: Tensor, term: Term = term) -> Tensor:
            return term(lesson(features=student))

        assert gradient(value, features, features)[1].any()


def test_a_huge_alpha_is_a_huge_variance() -> None:
    """log(1 + exp(alpha)), as published, overflows in float32 from 89 on."""
    gaussian = Variational((2, 2, 2), (2, 2, 2), 5.0)
    for alpha, variance in ((200.0, 200.0), (-200.0, 1e-5)):
        nn.init.constant_(gaussian.alpha, alpha)
        torch.testing.assert_close(gaussian.variance, torch.full((2,), variance))
        value = gaussian(torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2, 2), lesson())
        value.backward()
        assert gaussian.alpha.grad is not None
        assert torch.isfinite(gaussian.alpha.grad).all()


def test_it_bears_anything() -> None:
    gaussian = Variational((3, 2, 2), (3, 2, 2), 5.0)
    must_bear_anything(lambda student, teacher: gaussian(student, teacher, lesson()), 4, 3, 2, 2)


@pytest.mark.parametrize("shape", [(8,), (4, 2)])
def test_layers_of_different_kinds_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot predict one of shape"):
        built(loss("vid"), given=lesson(features=random(1, 3, *shape)))
