"""One network as several, one for each shard of a batch, with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers
from edgekd.training.taps import answers
from edgekd.training.workers import Workers


class Replicas:
    """The network `module` and a copy of it for each further shard.

    Copies of a network that learns have the same weights in the same memory, and gradients and batch-norm statistics
    of their own: batch norm sees a shard, not the batch. Nothing else of the training does: losses see the whole batch.

    Raises:
        ConfigError: the network cannot be copied.
    """

    def __init__(self, module: nn.Module, workers: Workers) -> None:
        self.workers = workers
        self.modules = [module, *(_twin(module) for _ in range(workers.shards - 1))]

    def answers(self, inputs: Mapping[str, Tensor], taps: Sequence[str] = ()) -> Answers:
        """What the network says to the batch, each shard in its own thread."""
        return _joined(self._shards(inputs, taps))

    def attempt(self, inputs: Mapping[str, Tensor], taps: Sequence[str] = ()) -> Attempt:
        """As `answers`, to be followed by `Attempt.backward`."""
        return Attempt(self, self._shards(inputs, taps))

    def average_statistics(self) -> None:
        """Gives every copy the mean of what batch norm has counted in all of them.

        Running statistics are a linear function of those of the batches, so averaging once an epoch is averaging in
        every step.
        """
        for group in zip(*(module.buffers() for module in self.modules), strict=True):
            if len(group) > 1 and group[0].is_floating_point():
                mean = torch.stack(group).mean(dim=0)
                for buffer in group:
                    buffer.copy_(mean)

    def train(self) -> None:
        for module in self.modules:
            module.train()

    def _shards(self, inputs: Mapping[str, Tensor], taps: Sequence[str]) -> list[Answers]:
        slices = self.workers.slices(len(next(iter(inputs.values()))))
        learns = torch.is_grad_enabled()  # of the thread that asks; others begin with true

        def part(shard: int) -> Answers:
            with torch.set_grad_enabled(learns), self.workers.arithmetic():
                return answers(self.modules[shard], [each[slices[shard]] for each in inputs.values()], taps)

        return self.workers.each(part)


class Attempt:
    """A forward pass that waits for its gradients. answers: of the whole batch, cut off from the network."""

    def __init__(self, replicas: Replicas, shards: list[Answers]) -> None:
        self._replicas, self._shards = replicas, shards
        joined = _joined(shards)
        self.answers = Answers(
            joined.logits.detach().requires_grad_(),
            {name: each.detach().requires_grad_() for name, each in joined.taps.items()},
        )

    def backward(self) -> None:
        """Leaves the gradients of `answers` in the first replica's parameters, summed over shards in a fixed order."""
        ends = [self.answers.logits, *self.answers.taps.values()]
        slices = self._replicas.workers.slices(len(ends[0]))
        modules = self._replicas.modules

        def part(shard: int) -> None:
            for parameter in modules[shard].parameters():
                parameter.grad = None
            said = self._shards[shard]
            pairs = [
                (output, whole.grad[slices[shard]])
                for output, whole in zip([said.logits, *said.taps.values()], ends, strict=True)
                if whole.grad is not None and output.requires_grad
            ]
            torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])

        self._replicas.workers.each(part)
        for others in modules[1:]:
            for parameter, twin in zip(modules[0].parameters(), others.parameters(), strict=True):
                if parameter.grad is None:
                    parameter.grad = twin.grad
                elif twin.grad is not None:
                    parameter.grad.add_(twin.grad)


def draws_random_numbers(module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Whether a forward pass in training takes random numbers, as dropout does; the network is left as it was.

    Threads would take them from the one generator in the order in which they happen to come.
    """
    trial = copy.deepcopy(module).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before = torch.random.get_rng_state()
        trial(*inputs)
        return not torch.equal(before, torch.random.get_rng_state())


def _joined(shards: Sequence[Answers]) -> Answers:
    if len(shards) == 1:
        return shards[0]
    return Answers(
        torch.cat([each.logits for each in shards]),
        {name: torch.cat([each.taps[name] for each in shards]) for name in shards[0].taps},
    )


def _twin(module: nn.Module) -> nn.Module:
    """A copy whose weights lie in the same memory, with gradients of its own."""
    shared: dict[int, object] = {
        id(each): nn.Parameter(each.data, requires_grad=each.requires_grad) for each in module.parameters()
    }
    try:
        return copy.deepcopy(module, shared)
    except Exception as error:
        raise ConfigError(
            f"the network cannot be copied for a second shard: {error}", hint="set `shards: 1` for this training"
        ) from error
