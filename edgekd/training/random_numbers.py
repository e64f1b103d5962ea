"""Random numbers of one's own: who takes some changes none that others take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class OwnRandomNumbers:
    """What torch draws inside `taken`, on the processor and on this device if it is a CUDA one: a sequence that goes on
    from one time to the next, while outside nothing was drawn."""

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None

    def begin(self, seed: int) -> None:
        """Starts the sequence of this seed."""
        with self._kept_apart():
            torch.manual_seed(seed)
            self._remember()

    @contextmanager
    def taken(self) -> Iterator[None]:
        with self._kept_apart():
            torch.random.set_rng_state(self._state)
            if self._device is not None:
                torch.cuda.set_rng_state(self._device_state, self._device)
            yield
            self._remember()

    def _remember(self) -> None:
        self._state = torch.random.get_rng_state()
        if self._device is not None:
            self._device_state = torch.cuda.get_rng_state(self._device)

    @contextmanager
    def _kept_apart(self) -> Iterator[None]:
        with torch.random.fork_rng(devices=[] if self._device is None else [self._device]):
            yield
