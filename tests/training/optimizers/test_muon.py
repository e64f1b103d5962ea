"""Muon against the singular value decomposition, which it approximates."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekd.config.component import component_class
from edgekd.config.registry import MODELS
from edgekd.models.base import Model
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.optimizers.base import set_learning_rate
from edgekd.training.optimizers.muon import hidden_weights
from edgekd.training.optimizers.orthogonal import QUINTIC, ROUNDS, orthogonalised

from .conftest import CLASSES, OPTIONS, copies, give_gradients, method, network, part

SHAPES = [(1, 1), (5, 5), (8, 72), (72, 8), (32, 9), (1, 7), (64, 64)]
SIDES = st.integers(1, 12)


def drawn(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def rotation(side: int, seed: int) -> Tensor:
    """An orthogonal matrix."""
    made: Tensor = torch.linalg.qr(drawn(side, side, seed).double())[0].float()
    return made


def of_one(matrix: Tensor) -> Tensor:
    return orthogonalised(matrix[None])[0]


def by_singular_values(matrix: Tensor) -> Tensor:
    """The iteration done to each singular value by itself, in float64."""
    u, values, v = torch.linalg.svd(matrix.double() / matrix.double().norm(), full_matrices=False)
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        values = a * values + b * values**3 + c * values**5
    result: Tensor = u @ torch.diag(values) @ v
    return result


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_the_direction_is_the_quintic_of_each_singular_value(rows: int, columns: int) -> None:
    matrix = drawn(rows, columns, seed=0)
    torch.testing.assert_close(of_one(matrix).double(), by_singular_values(matrix), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(8, 72), (72, 8), (32, 9), (16, 64)])
def test_it_is_u_times_v_to_the_known_tolerance(rows: int, columns: int) -> None:
    """Singular values of 0.01 of the norm and more become 0.68 to 1.14."""
    matrix = drawn(rows, columns, seed=1)
    u, values, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    assert float(values.min() / values.norm()) > 0.01
    inner = u.T @ of_one(matrix).double() @ v.T
    found = inner.diagonal()
    assert float(found.min()) > 0.68
    assert float(found.max()) < 1.14
    assert float((inner - torch.diag(found)).abs().max()) < 1e-4


@given(rows=SIDES, columns=SIDES, seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_a_rotated_gradient_gives_the_rotated_direction(rows: int, columns: int, seed: int) -> None:
    matrix, left, right = drawn(rows, columns, seed), rotation(rows, seed + 1), rotation(columns, seed + 2)
    rotated = of_one(left @ matrix @ right)
    torch.testing.assert_close(rotated, left @ of_one(matrix) @ right, rtol=0, atol=2e-3)


@given(rows=SIDES, columns=SIDES, seed=st.integers(0, 10_000), exponent=st.integers(-12, 12))
@settings(max_examples=40)
def test_the_size_of_the_gradient_does_not_matter(rows: int, columns: int, seed: int, exponent: int) -> None:
    matrix = drawn(rows, columns, seed)
    torch.testing.assert_close(of_one(matrix * 10.0**exponent), of_one(matrix), rtol=0, atol=2e-3)


@given(rows=SIDES, columns=SIDES, seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_permuted_columns_give_the_permuted_direction(rows: int, columns: int, seed: int) -> None:
    """So it does not matter in which order the elements of a filter are flattened."""
    matrix = drawn(rows, columns, seed)
    order = torch.randperm(columns, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(of_one(matrix[:, order]), of_one(matrix)[:, order], rtol=0, atol=2e-3)


def test_nothing_comes_of_nothing() -> None:
    assert not of_one(torch.zeros(4, 9)).any()


def test_matrices_of_low_rank_stay_finite_and_of_low_rank() -> None:
    matrix = drawn(40, 2, seed=3) @ drawn(2, 90, seed=4)
    values = torch.linalg.svdvals(of_one(matrix))
    assert bool((values[:2] > 0.68).all())
    assert bool((values[:2] < 1.14).all())
    assert float(values[2:].max()) < 0.01


def test_matrices_together_get_what_each_gets_alone() -> None:
    matrices = torch.stack([drawn(12, 40, seed) for seed in range(3)])
    together = orthogonalised(matrices)
    for matrix, direction in zip(matrices, together, strict=True):
        torch.testing.assert_close(direction, of_one(matrix), rtol=0, atol=1e-5)


def test_its_steps_are_the_momentum_made_orthogonal_in_float64() -> None:
    model, objective = network(), part()
    optimizer = method("muon", momentum=0.8).build(model, objective, OPTIONS, classes=CLASSES)
    hidden = hidden_weights(model, CLASSES)
    expected = [each.double() for each in copies(hidden)]
    means = [torch.zeros_like(each) for each in expected]
    for step in range(1, 5):
        rate = 0.01 / step
        set_learning_rate(optimizer, rate)
        give_gradients([*model.parameters(), *objective.parameters()], step)
        for index, each in enumerate(hidden):
            assert each.grad is not None
            gradient = each.grad.double()
            means[index] = 0.8 * means[index] + 0.2 * gradient
            ahead = (0.2 * gradient + 0.8 * means[index]).flatten(1)
            size = 0.2 * math.sqrt(max(ahead.shape))
            direction = by_singular_values(ahead).view(each.shape)
            expected[index] = (1 - rate * 0.1) * expected[index] - rate * size * direction
        optimizer.step()
    for each, wanted in zip(hidden, expected, strict=True):
        torch.testing.assert_close(each.detach().double(), wanted, rtol=0, atol=1e-5)


def test_a_step_is_as_large_as_one_of_adamw() -> None:
    """0.2 of the learning rate, as root mean square: what Liu et al. 2025 found AdamW's to be."""
    model = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(9, 40), nn.Linear(40, CLASSES))
    options = OPTIONS.model_copy(update={"weight_decay": 0.0})
    optimizer = method("muon").build(model, nn.Module(), options, classes=CLASSES)
    hidden = hidden_weights(model, CLASSES)
    before = copies(hidden)
    give_gradients(list(model.parameters()), 0)
    optimizer.step()
    for each, was in zip(hidden, before, strict=True):
        change = float((each.detach() - was).square().mean().sqrt())
        assert 0.68 < change / (0.2 * 0.01) < 1.14


def test_everything_else_moves_as_with_adamw_at_a_learning_rate_of_its_own() -> None:
    muon, adamw = network(), network()
    ours = method("muon", other_learning_rate=0.002).build(muon, nn.Module(), OPTIONS, classes=CLASSES)
    options = OPTIONS.model_copy(update={"learning_rate": 0.002})
    theirs = method("adamw").build(adamw, nn.Module(), options, classes=CLASSES)
    for seed in range(3):
        give_gradients(list(muon.parameters()), seed)
        give_gradients(list(adamw.parameters()), seed)
        set_learning_rate(ours, 0.01 / (1 + seed))
        set_learning_rate(theirs, 0.002 / (1 + seed))
        ours.step()
        theirs.step()
    matrices = {id(each) for each in hidden_weights(muon, CLASSES)}
    for (name, left), right in zip(muon.named_parameters(), adamw.parameters(), strict=True):
        if id(left) in matrices:
            assert not torch.allclose(left, right), name
        else:
            torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)


def names(network: nn.Module, classes: int) -> list[str]:
    chosen = {id(each) for each in hidden_weights(network, classes)}
    return [name for name, each in network.named_parameters() if id(each) in chosen]


def test_hidden_weights_are_matrices_without_the_last_layer_and_those_in_groups() -> None:
    assert names(network(), CLASSES) == ["stem.weight", "again.weight", "third.weight", "hidden.weight"]


def test_the_last_layer_is_known_by_its_outputs_whatever_is_registered_after_it() -> None:
    class HeadFirst(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(8, 3)
            self.tokens = nn.Parameter(torch.zeros(1, 5, 8))
            self.embedding = nn.Embedding(20, 8)
            self.body = nn.Linear(8, 8)

    assert names(HeadFirst(), 3) == ["body.weight"]


def test_a_hidden_layer_as_wide_as_there_are_classes_is_not_the_last_one() -> None:
    model = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3))
    assert names(model, 3) == ["0.weight", "2.weight"]


def test_a_tied_weight_counts_once_and_a_frozen_one_never() -> None:
    first, second, third = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    third.weight.requires_grad_(False)
    assert names(nn.Sequential(first, second, third, nn.Linear(6, 2)), 2) == ["0.weight"]


def test_a_weight_that_is_computed_is_no_parameter_to_move() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
    assert names(nn.Sequential(normed, nn.Linear(6, 6), nn.Linear(6, 2)), 2) == ["1.weight"]


@pytest.mark.parametrize("use", ["conv", "resnet", "ds_cnn", "mlp"])
def test_of_every_architecture_of_ours_all_but_the_head_is_found(use: str) -> None:
    spec = InputSpec(name="input", shape=(3, 16, 16))
    contract = ModelContract(modality="any", inputs=(spec,), classes=tuple("0123456789"))
    made = component_class(MODELS, use).model_validate({"use": use})
    assert isinstance(made, Model)
    model = made.build(contract)
    layers = dict(model.named_modules())
    wanted = [
        name
        for name, each in model.named_parameters()
        if each.ndim > 1
        and not name.startswith("head")
        and getattr(layers[name.removesuffix(".weight")], "groups", 1) == 1
    ]
    assert names(model, 10) == wanted
    assert wanted


def test_a_network_without_hidden_layers_is_learned_by_adamw() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, CLASSES))
    optimizer = method("muon").build(model, nn.Module(), OPTIONS, classes=CLASSES)
    before = copies(list(model.parameters()))
    give_gradients(list(model.parameters()), 0)
    optimizer.step()
    assert not any(map(torch.equal, model.parameters(), before))
