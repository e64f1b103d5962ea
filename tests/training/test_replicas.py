"""A batch in shards is computed as in one piece, but for what batch norm sees."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import ConfigError
from edgekd.training.execution import Execution
from edgekd.training.replicas import Replicas, draws_random_numbers
from edgekd.training.workers import Workers

from .conftest import network, same, weights


class Plain(nn.Module):
    """Without batch norm, so that a shard is computed as in the batch; in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(1, 6, 3, padding=1), nn.Linear(6 * 64, 10)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.first(x)).flatten(1))
        return logits


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(Execution(shards=3)) as entered:
        yield entered


def images(count: int = 11, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)


def relations(logits: Tensor, tap: Tensor) -> Tensor:
    """A loss that no shard can compute alone: every sample is compared with every other."""
    features = tap.flatten(1)
    return torch.cdist(logits, logits).mean() + (features @ features.T).square().mean()


def test_a_loss_of_the_whole_batch_has_the_gradients_of_one_piece(workers: Workers) -> None:
    whole, cut = Plain(), Plain()
    logits = whole(images())
    tap = whole.first(images())
    torch.autograd.backward(relations(logits.float(), tap.float()))

    attempt = Replicas(cut, workers).attempt({"image": images()}, ("first",))
    torch.autograd.backward(relations(attempt.answers.logits, attempt.answers.taps["first"]))
    attempt.backward()
    for mine, theirs in zip(cut.parameters(), whole.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-5, atol=1e-7)


def test_gradients_are_of_this_batch_alone(workers: Workers) -> None:
    module = Plain()
    replicas = Replicas(module, workers)

    def gradients() -> list[Tensor]:
        attempt = replicas.attempt({"image": images()})
        torch.autograd.backward(attempt.answers.logits.square().mean())
        attempt.backward()
        return [each.grad.clone() for each in module.parameters() if each.grad is not None]

    assert all(map(torch.equal, gradients(), gradients()))


def test_copies_have_the_weights_of_the_first_in_the_same_memory(workers: Workers) -> None:
    module = network().to(memory_format=torch.channels_last)
    replicas = Replicas(module, workers)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    for other in replicas.modules[1:]:
        for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
            assert theirs is not mine
            assert theirs.data_ptr() == mine.data_ptr()
            assert theirs.stride() == mine.stride()


def test_answers_are_those_of_the_network_in_the_order_of_the_batch(workers: Workers) -> None:
    module = network().eval()
    with torch.no_grad():
        said = Replicas(module, workers).answers({"image": images(10, torch.float32)}, ("1",))
        assert torch.allclose(said.logits, module(images(10, torch.float32)), atol=1e-6)
    assert said.taps["1"].shape == (10, 8, 4, 4)
    assert not said.logits.requires_grad


def test_batch_norm_counts_each_shard_and_all_copies_get_their_mean(workers: Workers) -> None:
    module = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 10))
    references = [copy.deepcopy(module).train() for _ in range(3)]
    replicas = Replicas(module, workers)
    replicas.train()
    for step in range(4):
        batch = images(12, torch.float32) + step
        replicas.attempt({"image": batch})
        for reference, shard in zip(references, batch.chunk(3), strict=True):
            reference(shard)
    replicas.average_statistics()
    for name in ("0.running_mean", "0.running_var"):
        expected = torch.stack([each.state_dict()[name] for each in references]).mean(dim=0)
        for each in replicas.modules:
            assert torch.allclose(each.state_dict()[name], expected)


class Sometimes(nn.Module):
    """Uses one of its layers for bright shards only."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.bright = nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        logits: Tensor = self.always(flat) + (self.bright(flat) if float(x.mean()) > 1 else 0)
        return logits


@pytest.mark.parametrize("bright", [0, 2])
def test_a_layer_that_only_one_shard_uses_gets_that_shards_gradient(workers: Workers, bright: int) -> None:
    module = Sometimes()
    batch = images(12, torch.float32)
    batch[4 * bright : 4 * bright + 4] += 5
    attempt = Replicas(module, workers).attempt({"image": batch})
    torch.autograd.backward(attempt.answers.logits.sum())
    attempt.backward()
    assert module.bright.bias.grad is not None
    assert module.bright.bias.grad.tolist() == [4.0] * 10
    assert module.always.bias.grad is not None
    assert module.always.bias.grad.tolist() == [12.0] * 10


def test_a_part_that_does_not_learn_stays_out(workers: Workers) -> None:
    module = Plain()
    module.first.requires_grad_(requires_grad=False)
    attempt = Replicas(module, workers).attempt({"image": images()})
    torch.autograd.backward(attempt.answers.logits.sum())
    attempt.backward()
    assert module.first.weight.grad is None
    assert module.head.weight.grad is not None


def test_a_network_that_cannot_be_copied_is_refused_with_the_way_out(workers: Workers) -> None:
    module = Plain()
    module.lock = __import__("threading").Lock()
    with pytest.raises(ConfigError, match="cannot be copied for a second shard") as error:
        Replicas(module, workers)
    assert "shards: 1" in str(error.value.hint)


@pytest.mark.parametrize(
    ("make", "draws"),
    [
        (network, True),
        (Plain, False),
        (lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()), False),
        (lambda: nn.Sequential(nn.Flatten(), nn.RReLU()), True),
    ],
)
def test_it_is_seen_whether_a_network_draws_random_numbers(make: Callable[[], nn.Module], draws: bool) -> None:
    module = make().float().eval()
    before, state = weights(module), torch.random.get_rng_state()
    assert draws_random_numbers(module, [images(4, torch.float32) - 0.5]) is draws
    assert same(weights(module), before)
    assert not module.training
    assert torch.equal(torch.random.get_rng_state(), state)


def test_threads_change_no_bit(workers: Workers) -> None:
    def trained() -> dict[str, Tensor]:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
        replicas, optimizer = Replicas(module, workers), torch.optim.AdamW(module.parameters(), lr=0.01)
        replicas.train()
        for _ in range(20):
            attempt = replicas.attempt({"image": images(30, torch.float32)})
            torch.autograd.backward(functional.cross_entropy(attempt.answers.logits, torch.arange(30) % 10))
            attempt.backward()
            optimizer.step()
        replicas.average_statistics()
        return weights(module)

    once = trained()
    assert all(same(trained(), once) for _ in range(5))
