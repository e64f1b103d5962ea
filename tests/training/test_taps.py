from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from edgekd.errors import ConfigError
from edgekd.training.taps import answers, layers, undisturbed

IMAGES = (torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)),)


class Branched(nn.Module):
    """Two inputs; a layer that runs twice, one that never runs, and one that gives a pair."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(4, 4)
        self.second = nn.Linear(4, 5)
        self.first = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.twice = nn.Linear(4, 4)
        self.pair = nn.LSTM(5, 6, batch_first=True)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.twice(self.twice(self.first(x + y)))
        outputs, _ = self.pair(self.second(x)[:, None])
        logits: Tensor = self.head(outputs[:, 0])
        return logits


def images_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def test_layers_come_in_the_order_in_which_they_run_with_their_shapes_without_the_batch() -> None:
    assert layers(images_network(), IMAGES) == [
        ("0", (4, 4, 4)),
        ("0.0", (4, 4, 4)),
        ("0.1", (4, 4, 4)),
        ("0.2", (4, 4, 4)),
        ("1", (4, 4, 4)),
        ("2", (64,)),
        ("3", (10,)),
    ]


def test_layers_are_only_those_that_run_once_and_give_one_tensor() -> None:
    found = layers(Branched(), (torch.zeros(3, 4), torch.zeros(3, 4)))
    assert found == [("first", (4,)), ("first.0", (4,)), ("first.1", (4,)), ("second", (5,)), ("head", (2,))]


def test_every_listed_layer_can_be_tapped() -> None:
    network = models.resnet18(num_classes=10).eval()
    images = torch.randn(2, 3, 32, 32)
    found = dict(layers(network, (images,)))
    assert found["layer2"] == (128, 4, 4)
    assert "layer2.0.relu" not in found  # it runs twice in each block
    with torch.no_grad():
        said = answers(network, (images,), tuple(found))
        assert torch.equal(said.logits, network(images))
    assert {name: tuple(each.shape[1:]) for name, each in said.taps.items()} == found


def test_looking_at_layers_changes_nothing_in_the_network() -> None:
    network = images_network().train()
    network.get_submodule("0.1").eval()  # a user may have frozen it
    before = {name: each.clone() for name, each in network.state_dict().items()}
    state = torch.random.get_rng_state()
    layers(network, IMAGES)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [network.get_submodule(f"0.{number}").training for number in range(3)] == [True, False, True]
    assert network.training
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in network.modules())


def test_modes_come_back_after_a_failure() -> None:
    network = images_network().train()

    def fail() -> None:
        with undisturbed(network):
            assert not network.training
            assert not torch.is_grad_enabled()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert all(each.training for each in network.modules())
    assert torch.is_grad_enabled()


def test_what_a_layer_reads_can_be_tapped_too() -> None:
    network = images_network().eval()
    said = answers(network, IMAGES, ["3:input", "2", "0:input"])
    assert torch.equal(said.taps["3:input"], said.taps["2"])
    assert torch.equal(said.taps["0:input"], IMAGES[0])
    with pytest.raises(ConfigError, match="no layer is called '9'"):
        answers(network, IMAGES, ["9:input"])


def test_a_tap_is_what_the_layer_gave_even_where_a_later_one_changes_it_in_place() -> None:
    network = images_network().eval()
    normed = network.get_submodule("0.1")(network.get_submodule("0.0")(*IMAGES))
    assert (normed < 0).any()
    said = answers(network, IMAGES, ("0.1", "0.2"))
    assert torch.equal(said.taps["0.1"], normed)
    assert torch.equal(said.taps["0.2"], normed.relu())


def test_only_wanted_layers_are_recorded_and_hooks_are_gone_afterwards() -> None:
    network = images_network()
    assert answers(network, IMAGES).taps == {}
    assert set(answers(network, IMAGES, ("2",)).taps) == {"2"}
    assert not any(each._forward_hooks for each in network.modules())


def test_gradients_flow_through_a_tap() -> None:
    network = images_network()
    answers(network, IMAGES, ("0",)).taps["0"].sum().backward()  # type: ignore[no-untyped-call]
    assert network.get_parameter("0.0.weight").grad is not None
    assert network.get_parameter("3.weight").grad is None


def test_answers_in_bfloat16_are_given_as_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        said = answers(images_network(), IMAGES, ("0.0",))
    assert said.logits.dtype == said.taps["0.0"].dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("fist", "^no layer is called 'fist'$", "did you mean 'first'?"),
        ("", "^no layer is called ''$", "edgekd list layers PIPELINE"),
        ("twice", "^the layer 'twice' runs more than once in a forward pass$", "edgekd list layers PIPELINE"),
        ("pair", "^the layer 'pair' gives tuple, not one tensor$", "edgekd list layers PIPELINE"),
        ("unused", "^the layer 'unused' takes no part in a forward pass$", "edgekd list layers PIPELINE"),
    ],
)
def test_a_layer_that_cannot_be_tapped_is_refused_with_the_way_out(name: str, words: str, hint: str) -> None:
    network = Branched()
    with pytest.raises(ConfigError, match=words) as error:
        answers(network, (torch.zeros(3, 4), torch.zeros(3, 4)), (name,))
    assert hint in str(error.value.hint)
    assert not any(each._forward_hooks for each in network.modules())
