from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekd.training.averaging import Average
from edgekd.training.layout import lay_out
from edgekd.training.weights import load_weights, save_weights

from .conftest import network, same, weights


def changed(module: nn.Module, seed: int) -> dict[str, Tensor]:
    """Gives the module other weights and statistics, as a step does; a copy of them all."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in module.state_dict().values():
            if each.is_floating_point():
                each.copy_(torch.rand(each.shape, generator=generator))
            else:
                each.add_(1)
    return weights(module)


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_it_is_the_moving_average_of_weights_and_statistics_in_float64(decay: float) -> None:
    module = network()
    average = Average(module, decay)
    expected: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    for step in range(30):
        now = {name: each.double().numpy() for name, each in changed(module, step).items()}
        share = min(decay, (1 + step) / (10 + step))
        expected = {n: share * expected[n] + (1 - share) * each for n, each in now.items()} if step else now
        average.update_parameters(module)
    for name, each in average.module.state_dict().items():
        if each.is_floating_point():
            np.testing.assert_allclose(each.numpy(), expected[name], rtol=1e-5)
        else:
            assert torch.equal(each, module.state_dict()[name]), "a count is the last one"
    assert any(name.endswith("running_mean") for name in expected)


def test_the_first_steps_random_weights_are_forgotten_however_slow_the_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, 0.9999)
    for step in range(300):
        nn.init.constant_(module.weight, 1000.0 if step == 0 else 1.0)
        average.update_parameters(module)
    assert float(average.module.get_parameter("weight").detach()) == pytest.approx(1.0, abs=1e-4)


def test_the_network_itself_stays_as_it_is_until_it_is_given_the_mean() -> None:
    module = network()
    average = Average(module, 0.9)
    for step in range(3):
        last = changed(module, step)
        average.update_parameters(module)
    assert same(weights(module), last)
    average.give(module)
    assert same(weights(module), weights(average.module))
    assert not same(weights(module), last)


def test_the_mean_lies_in_memory_as_the_network_does() -> None:
    module = network()
    lay_out(module)
    average = Average(module, 0.9)
    average.update_parameters(module)
    assert [each.stride() for each in average.module.parameters()] == [each.stride() for each in module.parameters()]


def test_an_interrupted_average_goes_on_bit_for_bit(tmp_path: Path) -> None:
    module = network()
    whole = Average(module, 0.9)
    for step in range(4):
        changed(module, step)
        whole.update_parameters(module)
        if step == 1:
            save_weights(whole, tmp_path / "average.safetensors")
    again = network(seed=7)
    resumed = Average(again, 0.9)
    load_weights(resumed, tmp_path / "average.safetensors")
    changed(again, 0)
    changed(again, 1)
    for step in (2, 3):
        changed(again, step)
        resumed.update_parameters(again)
    assert same(weights(resumed), weights(whole))


def test_a_weight_in_two_places_stays_one() -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    average = Average(copy.deepcopy(tied), 0.9)
    for _ in range(2):
        average.update_parameters(tied)
    assert average.module.get_parameter("0.weight") is average.module.get_submodule("1").weight


def test_a_mask_of_infinities_stays_one() -> None:
    layer = nn.Linear(2, 2)
    module = nn.Sequential(layer, nn.BatchNorm1d(2))
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    average = Average(module, 0.9)
    for step in range(3):
        nn.init.constant_(layer.weight, step)
        average.update_parameters(module)
    assert average.module.get_buffer("mask").tolist() == [0.0, -torch.inf]
