"""How many threads a training step is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

SMALL_STEP = 5e8
"""Operations of all networks' forward passes, below which a second thread gains nothing: each of a step's hundreds of
short loops ends in a wait for the slower thread, for milliseconds when another program has its core. Measured on two
cores with 1.7e8 a step: 5.7 s with one thread and 7.0 s with two; beside a busy core 5.9 s and 290 s. With 2.7e9 two
threads are 1.6 times as fast."""


@contextmanager
def threads_for(operations: float) -> Iterator[None]:
    """One thread for a small step, as many as torch has for a larger one.

    The choice follows from the networks alone, never from a clock: the number of threads changes the last bits of the
    weights.
    """
    before = torch.get_num_threads()
    if operations < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def operations_of() -> Iterator[Callable[[], float]]:
    """The context yields what tells the floating-point operations of the products and convolutions done in it."""
    with FlopCounterMode(display=False) as counter:
        yield lambda: float(counter.get_total_flops())
