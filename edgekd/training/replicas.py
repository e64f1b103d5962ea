"""One network as several, one for each shard of a batch, with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgekd.errors import StageError
from edgekd.training.lesson import Answers
from edgekd.training.random_numbers import DrawnApart
from edgekd.training.seeds import derived_seed
from edgekd.training.taps import answers, undisturbed
from edgekd.training.workers import Workers

WAY_OUT = "set `shards: 1` for this training"


class Replicas:
    """The network `module` and a copy of it for each further shard; other processes have theirs.

    Copies have the same weights in the same memory, and gradients and batch-norm statistics of their own: batch norm
    sees a shard, not the batch. Nothing else of the training does: losses see the whole batch. `obstacle` says whether
    a network can be copied so.
    """

    def __init__(self, module: nn.Module, workers: Workers) -> None:
        self.workers = workers
        self.modules = [module, *(_twin(module) for _ in range(workers.shards - 1))]
        self._draws: bool | None = None  # whether it takes random numbers in training; found out when it is trained
        self._attempts = 0

    def answers(self, inputs: Mapping[str, Tensor], taps: Sequence[str] = ()) -> Answers:
        """What the network says to the batch, each shard in its own thread."""
        return self._joined(self._shards(inputs, taps), inputs)

    def attempt(self, inputs: Mapping[str, Tensor], taps: Sequence[str] = ()) -> Attempt:
        """As `answers`, to be followed by `Attempt.backward`. What dropout leaves out in a shard depends on torch's
        seed and on how many attempts there were since `train`.

        Raises:
            StageError: the network took other random numbers than `DrawnApart` gives, which shards would take in the
                order in which they happen to run.
        """
        self._attempts += 1
        if len(self.modules) == 1:
            with self._own_random_numbers():
                shards = self._shards(inputs, taps)
        else:
            if self._draws is None:
                self._draws = _draws_random_numbers(self.modules[0], tuple(inputs.values()))
            before = torch.random.get_rng_state()
            shards = self._shards(inputs, taps, self._shard_seeds() if self._draws else None)
            if not torch.equal(before, torch.random.get_rng_state()):
                raise StageError("the network draws random numbers, but did not in its first pass", hint=WAY_OUT)
        return Attempt(self, shards, self._joined(shards, inputs))

    def agree(self) -> None:
        """Makes the copies alike again after an epoch: each gets the mean of their batch-norm statistics, and whatever
        else the first has counted.

        Running statistics are a linear function of those of the batches, so averaging once an epoch is averaging in
        every step.

        Raises:
            StageError: the network has put other weights in the place of the shared ones.
        """
        first, others = self.modules[0], self.modules[1:]
        if not all(_share_weights(first, other) for other in others):
            raise StageError("the network replaces its weights while it runs, so shards have others", hint=WAY_OUT)
        if others:
            for group in zip(*(batch_norm_statistics(module) for module in self.modules), strict=True):
                group[0].copy_(torch.stack(group).mean(dim=0))
        if self.workers.group.size > 1:
            statistics = batch_norm_statistics(first)
            self.workers.group.add_up(statistics)
            for each in statistics:
                each.div_(self.workers.group.size)
        self.copy_buffers()

    def copy_buffers(self) -> None:
        """Gives every copy, of every process, the buffers of the first."""
        self.workers.group.copy(list(self.modules[0].buffers()))
        for other in self.modules[1:]:
            for mine, theirs in zip(self.modules[0].buffers(), other.buffers(), strict=True):
                if not torch.equal(mine, theirs):
                    theirs.copy_(mine)

    def train(self) -> None:
        """Begins an epoch."""
        self._attempts = 0
        for module in self.modules:
            module.train()

    def _shard_seeds(self) -> list[int]:
        """Of each shard of this process, others in every attempt."""
        first = self.workers.group.rank * len(self.modules)
        purposes = (f"shard {first + shard}, attempt {self._attempts}" for shard in range(len(self.modules)))
        return [derived_seed(torch.initial_seed(), each) for each in purposes]

    def _shards(
        self, inputs: Mapping[str, Tensor], taps: Sequence[str], seeds: Sequence[int] | None = None
    ) -> list[Answers]:
        slices = self.workers.own_slices(_count(inputs))
        learns = torch.is_grad_enabled()  # of the thread that asks; others begin with true

        def part(shard: int) -> Answers:
            # .data: slices share a count of changes in place, and one shard's change would invalidate all
            mine = [each[slices[shard]].data for each in inputs.values()]
            apart = nullcontext() if seeds is None else DrawnApart(seeds[shard])
            with torch.set_grad_enabled(learns), self.workers.arithmetic(), apart:
                return answers(self.modules[shard], mine, taps)

        return self.workers.each(part)

    def _joined(self, shards: Sequence[Answers], inputs: Mapping[str, Tensor]) -> Answers:
        gathered, count = self.workers.gathered, _count(inputs)
        return Answers(
            gathered([each.logits for each in shards], count),
            {name: gathered([each.taps[name] for each in shards], count) for name in shards[0].taps},
        )

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """For dropout, which must differ between processes, while what losses draw afterwards must not."""
        group = self.workers.group
        if group.size == 1:
            yield
            return
        seed = int(torch.randint(2**62, ()))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + group.rank)
            yield


class Attempt:
    """A forward pass that waits for its gradients. answers: of the whole batch, cut off from the network."""

    def __init__(self, replicas: Replicas, shards: Sequence[Answers], whole: Answers) -> None:
        self._replicas, self._shards = replicas, shards
        self._ends = [each.detach().requires_grad_() for each in (whole.logits, *whole.taps.values())]
        # copies, for a leaf must not be changed in place, as a loss may want to
        logits, *taps = (each.clone() for each in self._ends)
        self.answers = Answers(logits, dict(zip(whole.taps, taps, strict=True)))

    def backward(self) -> None:
        """Leaves the gradients of `answers` in the first replica's parameters, summed over shards in a fixed order, and
        over processes."""
        workers, modules = self._replicas.workers, self._replicas.modules
        slices = workers.own_slices(len(self._ends[0]))
        cut = len(modules) * workers.group.size > 1

        def part(shard: int) -> None:
            for parameter in modules[shard].parameters():
                parameter.grad = None
            said = self._shards[shard]
            whole = slices[shard] if cut else slice(None)
            pairs = [
                (output, end.grad[whole])
                for output, end in zip([said.logits, *said.taps.values()], self._ends, strict=True)
                if end.grad is not None and output.requires_grad
            ]
            torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])

        workers.each(part)
        for others in modules[1:]:
            for parameter, twin in zip(modules[0].parameters(), others.parameters(), strict=True):
                if parameter.grad is None:
                    parameter.grad = twin.grad
                elif twin.grad is not None:
                    parameter.grad.add_(twin.grad)
        workers.group.add_up([each.grad for each in modules[0].parameters() if each.grad is not None])


def obstacle(module: nn.Module, inputs: Sequence[Tensor]) -> str | None:
    """Why the network cannot be computed in shards, in words; None where it can. inputs: of a batch; the network stays
    as it is.

    A copy that still leads to the original's layers, through a function that remembers them or a compiled module, would
    compute with its weights and gradients from two threads at once.
    """
    try:
        twin = _twin(module)
    except Exception as error:  # noqa: BLE001 - whatever a user's network raises when it is copied
        return f"the network cannot be copied ({error})"
    if any(each._backward_hooks or each._post_accumulate_grad_hooks for each in module.parameters()):
        return "the network has hooks on its gradients"
    if not _share_weights(module, twin):
        return "a copy of the network does not share its weights"
    own = [each for each in module.parameters() if each.requires_grad]
    with undisturbed(twin), torch.enable_grad():
        logits = twin(*(each[:2].clone() for each in inputs)).sum()
        if own and logits.requires_grad:
            reached = torch.autograd.grad(logits, own, allow_unused=True)
            if any(each is not None for each in reached):
                return "a copy of the network leads back to the original's layers"
    if _draws_random_numbers(module, inputs, DrawnApart(0)):
        return "the network draws random numbers, and not by dropout, which shards would take in any order"
    return None


def batch_norm_statistics(module: nn.Module) -> list[Tensor]:
    """The running means and variances of its batch norm, in their order."""
    layers = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    return [kept for each in layers for kept in (each.running_mean, each.running_var) if kept is not None]


def _draws_random_numbers(module: nn.Module, inputs: Sequence[Tensor], apart: DrawnApart | None = None) -> bool:
    """Whether a forward pass in training takes random numbers; with `apart`, others than those."""
    trial = copy.deepcopy(module).train()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        before = torch.random.get_rng_state()
        with apart or nullcontext():
            trial(*(each.clone() for each in inputs))
        return not torch.equal(before, torch.random.get_rng_state())


def _count(inputs: Mapping[str, Tensor]) -> int:
    return len(next(iter(inputs.values())))


def _twin(module: nn.Module) -> nn.Module:
    """A copy whose weights lie in the same memory, with gradients of its own."""
    shared: dict[int, object] = {
        id(each): nn.Parameter(each.data, requires_grad=each.requires_grad) for each in module.parameters()
    }
    return copy.deepcopy(module, shared)


def _share_weights(module: nn.Module, twin: nn.Module) -> bool:
    return all(
        mine.data_ptr() == theirs.data_ptr()
        for mine, theirs in zip(module.parameters(), twin.parameters(), strict=True)
    )
