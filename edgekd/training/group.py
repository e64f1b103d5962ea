"""The processes that train one network together, on one machine or several: torchrun starts them.

torch's DistributedDataParallel has each process compute a loss of its own samples, which is another loss where terms
compare samples with each other. Here every process sends each batch's part through the network, all of them get all
answers, compute the loss of the whole batch, and take the gradients of their own part through the network.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed

from edgekd.training.execution import place_here

Value = TypeVar("Value")
PATIENCE = datetime.timedelta(days=7)
"""For which processes wait for each other: the first one measures for hours meanwhile. torchrun ends the others when
one has failed."""


class Group:
    """All of them, of which this process is the one with this rank; the first one leads."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def parts(self, count: int, pieces: int = 1, together: int = 1) -> list[slice]:
        """`count` rows cut into `pieces` runs a process, of equal lengths but for one row; all of them, in order.

        together: how many rows, one after the other, are not cut apart."""
        total = self.size * pieces
        ends = [count // together * number // total * together for number in range(total)]
        return [slice(*pair) for pair in itertools.pairwise([*ends, count])]

    def gathered(self, part: Tensor, count: int, together: int = 1) -> Tensor:
        """The `count` rows of which each process has its `parts`, one after the other."""
        if self.size == 1:
            return part
        counts = [each.stop - each.start for each in self.parts(count, together=together)]
        padded = part.new_zeros((max(counts), *part.shape[1:]))
        padded[: len(part)] = part
        everybody = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(everybody, padded)
        whole = torch.cat([each[:rows] for each, rows in zip(everybody, counts, strict=True)])
        # as it lies in one process: in which order a loss adds up depends on it
        last = part.ndim == 4 and not part.is_contiguous() and part.is_contiguous(memory_format=torch.channels_last)
        return whole.to(memory_format=torch.channels_last) if last else whole

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Makes each of them the sum over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([each.reshape(-1) for each in tensors])
        distributed.all_reduce(flat)
        for each, total in zip(tensors, torch.split(flat, [each.numel() for each in tensors]), strict=True):
            each.copy_(total.view(each.shape))

    def same(self, value: Value) -> Value:
        """What the first process has, which must be a value that can be pickled; of the others it is not read."""
        if self.size == 1:
            return value
        told: list[object] = [value if self.leads else None]
        distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        return cast("Value", told[0])

    def copy(self, tensors: Sequence[Tensor]) -> None:
        """Gives each of them the first process' values, in place."""
        if self.size == 1:
            return
        for each in tensors:
            flat = each.detach().reshape(-1).clone()
            distributed.broadcast(flat.view(torch.uint8), src=0)  # as bytes: not every backend knows every type
            each.detach().copy_(flat.view(each.shape))


SINGLE = Group()


def join() -> Group:
    """The group that torchrun started this process for; `SINGLE` without torchrun."""
    place = place_here()
    if place.size == 1:
        return SINGLE
    if not distributed.is_initialized():
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(place.local % torch.cuda.device_count())
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=PATIENCE)
    return Group(place.rank, place.size)


def leave() -> None:
    """Ends the group in all of its processes; one that ends while another is still at it would take that one down."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
