"""The threads of a training: a batch is cut into shards, and each shard is computed in a thread of its own.

Two threads inside every operator wait for each other hundreds of times a step, for milliseconds when another program
has a core; threads that each take a shard through the whole network meet a few times. What is computed depends on the
number of shards, never on which thread is quicker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from edgekd.training.allocator import give_back_freed_memory, keep_freed_memory
from edgekd.training.execution import Execution
from edgekd.training.group import SINGLE, Group

Part = TypeVar("Part")


class Workers:
    """A thread for each shard, of which the one that asks is the first; group: the processes that do the same; looks:
    how many rows of a batch are one sample, which stay in one shard.

    A context: inside it torch's number of threads is the execution's, and freed memory is kept for what comes next.
    spare: whether it has a thread that no shard needs, for what can be done ahead (`begun`).
    """

    def __init__(self, execution: Execution, group: Group = SINGLE, looks: int = 1) -> None:
        self.execution, self.group, self.looks = execution, group, looks
        self.shards, self.threads = execution.shards, execution.threads
        self.device = torch.device(execution.device)
        self.spare = execution.device == "cpu" and self.shards == self.threads == 1
        self._pool: ThreadPoolExecutor | None = None
        self._threads_before = self.threads

    def arithmetic(self) -> torch.autocast:
        """The context in which networks are computed; each thread needs its own."""
        reduced = self.execution.precision == "bfloat16"
        # autocast's cache of cast weights is one for all threads, and the first that is done empties it for the others
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=reduced, cache_enabled=self.device.type != "cpu"
        )

    def __enter__(self) -> Workers:
        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        keep_freed_memory()
        if self.shards > 1 or self.spare:
            self._pool = ThreadPoolExecutor(
                max(1, self.shards - 1),
                thread_name_prefix="shard",
                initializer=torch.set_num_threads,  # OpenMP keeps the number by thread
                initargs=(self.threads,),
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        torch.set_num_threads(self._threads_before)
        give_back_freed_memory()

    def in_one(self) -> Workers:
        """The same arithmetic for what cannot be cut, in the thread that asks."""
        return Workers(Execution(self.execution.precision, device=self.execution.device))

    def each(self, part: Callable[[int], Part]) -> list[Part]:
        """What `part` gives for every shard from 0, in their order; the first error, when all have ended."""
        if self._pool is None:
            return [part(shard) for shard in range(self.shards)]
        others: list[Future[Part]] = [self._pool.submit(part, shard) for shard in range(1, self.shards)]
        try:
            first = part(0)
        finally:
            wait(others)
        return [first, *(each.result() for each in others)]

    def begun(self, part: Callable[[int], Part]) -> Callable[[], list[Part]]:
        """As `each`, whose results the function that is returned waits for: begun at once by the spare thread, where
        there is one, and by all threads when it is called elsewhere."""
        if not self.spare or self._pool is None:
            return lambda: self.each(part)
        ahead = [self._pool.submit(part, shard) for shard in range(self.shards)]
        return lambda: [each.result() for each in ahead]

    def slices(self, count: int) -> list[slice]:
        """`count` samples cut into one run a shard, of equal lengths but for one."""
        return SINGLE.parts(count, self.shards)

    def own_slices(self, count: int) -> list[slice]:
        """As `slices`, of the part of a batch of `count` rows that is this process'."""
        first = self.group.rank * self.shards
        return self.group.parts(count, self.shards, self.looks)[first : first + self.shards]

    def gathered(self, shards: Sequence[Tensor], count: int) -> Tensor:
        """What the shards of all processes gave, as of the whole batch of `count` rows; without gradients where there
        are several processes."""
        if self.group.size == 1:
            return joined(shards)
        return self.group.gathered(joined(shards).detach(), count, self.looks)


def joined(shards: Sequence[Tensor]) -> Tensor:
    """What the shards gave, as of all of them together."""
    return shards[0] if len(shards) == 1 else torch.cat(list(shards))


ALONE = Workers(Execution())
"""For what is computed outside a training: in one piece, in float32, with the threads that torch has."""
