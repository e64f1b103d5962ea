"""A batch in shards is computed as in one piece, but for what batch norm sees."""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.errors import StageError
from edgekd.training.execution import Execution
from edgekd.training.replicas import Replicas, obstacle
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
    replicas.agree()
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


class Around(nn.Module):
    """A network that is wrapped around a layer in one of the ways in which users do."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.scale = nn.Parameter(torch.ones(10))
        if how == "function":
            self.body: Callable[[Tensor], Tensor] = lambda x: self.layer(x)  # noqa: PLW0108 - it remembers `self`
        elif how == "hook":
            self.layer.register_forward_hook(lambda _layer, _inputs, output: output * self.scale)
        elif how == "gradient hook":
            self.layer.weight.register_hook(lambda gradient: gradient * 0)  # type: ignore[no-untyped-call]
        elif how == "lock":
            self.lock = threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = getattr(self, "body", self.layer)(x.flatten(1)) * self.scale
        return logits


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Around("nothing"), None),
        (lambda: Around("function"), "leads back to the original's layers"),
        (lambda: Around("hook"), "leads back to the original's layers"),
        (lambda: Around("gradient hook"), "has hooks on its gradients"),
        (lambda: Around("lock"), r"cannot be copied \(cannot pickle"),
        (lambda: torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(64, 10))), "does not share its weights"),
        (network, None),
        (lambda: nn.Sequential(nn.Flatten(), nn.RReLU()), "draws random numbers"),
        (lambda: nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()), None),
        (lambda: nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, 10))), None),
    ],
)
def test_it_is_seen_what_cannot_be_computed_in_shards(make: Callable[[], nn.Module], reason: str | None) -> None:
    module = make().eval()
    before, state = weights(module), torch.random.get_rng_state()
    found = obstacle(module, [images(4, torch.float32) - 0.5])
    assert found is None if reason is None else re.search(reason, found or "")
    assert same(weights(module), before)
    assert not module.training
    assert torch.equal(torch.random.get_rng_state(), state)


class Later(nn.Module):
    """Becomes what cannot be cut after a few passes."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.layer, self.how, self.passes = nn.Linear(64, 10), how, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.how == "weights":
            self.layer.weight.data = self.layer.weight.data * 0.5
        logits: Tensor = self.layer(functional.dropout(x.flatten(1), 0.1, self.how == "dropout" and self.passes > 2))
        return logits


class Dropping(nn.Module):
    """Says which inputs are left, by a layer and by a function."""

    def forward(self, x: Tensor) -> Tensor:
        left = functional.dropout(x.flatten(1), 0.25, self.training)
        return torch.cat([left, nn.Dropout(0.5).train(self.training)(x.flatten(1))], dim=1)


def dropped(replicas: Replicas, epoch: int, steps: int = 2) -> list[Tensor]:
    torch.manual_seed(epoch)
    replicas.train()
    return [replicas.attempt({"image": torch.ones(600, 1, 8, 8)}).answers.logits for _ in range(steps)]


def test_dropout_leaves_out_the_same_in_shards_whichever_thread_is_quicker(workers: Workers) -> None:
    first, again = (dropped(Replicas(Dropping(), workers), epoch=3) for _ in range(2))
    assert all(map(torch.equal, first, again))
    replicas = Replicas(Dropping(), workers)
    dropped(replicas, epoch=2, steps=3)
    assert all(map(torch.equal, first, dropped(replicas, epoch=3)))  # as after a checkpoint


def test_dropout_is_another_one_in_each_shard_step_and_epoch(workers: Workers) -> None:
    replicas = Replicas(Dropping(), workers)
    one, two = dropped(replicas, epoch=0)
    other, shards = dropped(replicas, epoch=1)[0], [one[:200], one[200:400], one[400:]]
    for mine, theirs in ((one, two), (one, other), (shards[0], shards[1]), (shards[1], shards[2])):
        assert 0.2 < float(((mine > 0) == (theirs > 0)).float().mean()) < 0.8


def test_dropout_leaves_out_the_share_that_is_asked_and_scales_the_rest(workers: Workers) -> None:
    (said, _) = dropped(Replicas(Dropping(), workers), epoch=0)
    function, layer = said[:, :64], said[:, 64:]
    for found, share in ((function, 0.25), (layer, 0.5)):
        assert float((found == 0).float().mean()) == pytest.approx(share, abs=0.01)
        assert torch.allclose(found[found != 0], torch.tensor(1 / (1 - share)))


def test_the_gradient_goes_where_nothing_was_left_out(workers: Workers) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, bias=False), nn.Dropout(0.5))
    replicas = Replicas(module, workers)
    replicas.train()
    attempt = replicas.attempt({"image": torch.ones(3, 1, 8, 8)})
    torch.autograd.backward(attempt.answers.logits.sum())
    attempt.backward()
    kept = (attempt.answers.logits != 0).sum(dim=0).float()  # in how many of the three samples each output was there
    gradient = module.get_parameter("1.weight").grad
    assert gradient is not None
    assert torch.allclose(gradient, 2 * kept[:, None].expand(64, 64))


def test_no_dropout_of_a_shard_takes_numbers_that_losses_draw(workers: Workers) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    Replicas(Dropping(), workers).attempt({"image": torch.ones(6, 1, 8, 8)})
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_numbers_that_come_later_are_not_taken_in_any_order(workers: Workers) -> None:
    replicas = Replicas(Later("dropout"), workers)
    replicas.attempt({"image": images(6, torch.float32)})
    replicas.attempt({"image": images(6, torch.float32)})
    with pytest.raises(StageError, match="draws random numbers") as error:
        replicas.attempt({"image": images(6, torch.float32)})
    assert "shards: 1" in str(error.value.hint)


def test_a_network_that_puts_other_weights_in_place_is_stopped(workers: Workers) -> None:
    replicas = Replicas(Later("weights"), workers)
    replicas.attempt({"image": images(6, torch.float32)})
    with pytest.raises(StageError, match="replaces its weights"):
        replicas.agree()


class Counting(nn.Module):
    """Has constants, and counts what it sees in whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("constants", torch.rand(1000, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("expanded", torch.ones(1).expand(8))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("seen").add_(int((x > 0.5).sum()))
        logits: Tensor = self.layer(x.flatten(1))
        return logits


def test_after_an_epoch_every_copy_goes_on_from_what_a_checkpoint_keeps(workers: Workers) -> None:
    module = Counting()
    replicas = Replicas(module, workers)
    before = module.get_buffer("constants").clone()
    replicas.attempt({"image": images(12, torch.float32)})
    seen = module.get_buffer("seen").clone()
    assert not torch.equal(replicas.modules[1].get_buffer("seen"), seen)
    replicas.agree()
    for each in replicas.modules:
        assert torch.equal(each.get_buffer("seen"), seen)
        assert torch.equal(each.get_buffer("constants"), before)


def test_a_network_may_change_its_input_and_a_loss_the_logits_in_place(workers: Workers) -> None:
    class InPlace(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.sub_(0.5).mul_(2))

    module, whole = InPlace(), Plain()
    attempt = Replicas(module, workers).attempt({"image": images()})
    logits = attempt.answers.logits
    logits /= 2
    torch.autograd.backward(logits.square().mean())
    attempt.backward()
    torch.autograd.backward((whole((images() - 0.5) * 2) / 2).square().mean())
    assert module.head.weight.grad is not None
    assert whole.head.weight.grad is not None
    assert torch.allclose(module.head.weight.grad, whole.head.weight.grad, rtol=1e-4, atol=1e-7)


def test_reduced_precision_gives_the_same_gradients_each_time_though_a_weight_is_used_often() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            for _ in range(12):
                x = torch.tanh(self.body(x))
            logits: Tensor = self.head(x)
            return logits

    found = set()
    with Workers(Execution(precision="bfloat16", shards=3)) as entered:
        module = Shared()
        replicas = Replicas(module, entered)
        for _ in range(40):
            attempt = replicas.attempt({"image": images(30, torch.float32)})
            torch.autograd.backward(attempt.answers.logits.square().mean())
            attempt.backward()
            assert module.body.weight.grad is not None
            found.add(module.body.weight.grad.numpy().tobytes())
    assert len(found) == 1


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
        replicas.agree()
        return weights(module)

    once = trained()
    assert all(same(trained(), once) for _ in range(5))
