from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.loop import TrainingData
from edgekd.training.network import build_network, count_parameters, describe_network, trained_network
from edgekd.training.weights import save_weights

from .conftest import network, run, same, weights

TWO_INPUTS = ModelContract(
    modality="vector",
    inputs=(InputSpec(name="x", shape=(4,)), InputSpec(name="y", shape=(3,))),
    classes=("a", "b"),
)


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(7, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = self.linear(torch.cat([x, y], dim=1))
        return logits


def model(build: Callable[[], nn.Module]) -> Model:
    """A model that is what the function makes."""

    class Own(Model):
        def build(self, contract: ModelContract) -> nn.Module:
            return build()

    return Own(use="own")


def test_the_seed_alone_decides_the_initial_weights() -> None:
    made = []
    for seed, noise in ((1, 10), (1, 20), (2, 10)):
        torch.manual_seed(noise)
        state = torch.random.get_rng_state()
        made.append(weights(build_network(model(Both), TWO_INPUTS, seed)))
        assert torch.equal(torch.random.get_rng_state(), state)
    assert same(made[0], made[1])
    assert not same(made[0], made[2])


def test_a_network_of_several_inputs_takes_them_in_the_contracts_order() -> None:
    built = build_network(model(Both), TWO_INPUTS, seed=0)
    assert not built.training
    assert count_parameters(built) == 7 * 2 + 2


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nn.Linear(5, 2), r"^the model own fails on samples of shape \(4,\) and \(3,\): "),
        (lambda: nn.Bilinear(4, 3, 5), r"gives \(2, 5\) for 2 samples, expected logits of shape \(2, 2\)$"),
    ],
)
def test_a_model_that_does_not_fit_the_contract_is_refused(build: Callable[[], nn.Module], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_network(model(build), TWO_INPUTS, seed=0)


def test_a_trained_network_has_the_weights_of_the_file(tmp_path: Path) -> None:
    before = build_network(model(Both), TWO_INPUTS, seed=5)
    save_weights(before, tmp_path / "weights.safetensors")
    loaded = trained_network(model(Both), TWO_INPUTS, tmp_path / "weights.safetensors")
    assert same(weights(loaded), weights(before))
    assert not loaded.training


def test_the_record_says_what_the_network_reaches_and_who_taught_it(data: TrainingData, work: Path) -> None:
    module = network()
    loaded = describe_network(module, data, None, ())
    assert loaded.history is None
    assert loaded.learned_from == ()
    result = run(module, data, work)
    record = describe_network(module, data, result, ("teacher", "assistant"))
    assert record.learned_from == ("teacher", "assistant")
    assert record.history == result.history
    assert record.validation_correct == result.history.last.validation_correct
    assert record.validation_total == len(data.validation) == 200
    assert record.parameters == 8 * 9 + 16 + 12 * 8 * 9 + 24 + 480 + 10
