"""Random numbers of one's own: who takes some changes none that others take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

DRAWS = frozenset({torch.rand, torch.rand_like, torch.randn, torch.randn_like, torch.bernoulli, Tensor.bernoulli_})
"""What takes a generator where it is given one."""


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


class DrawnApart(TorchFunctionMode):
    """What dropout and DRAWS take inside it, in this thread, comes from this seed alone, on the processor; other
    functions draw as ever. So threads that compute at once take the same numbers whichever is quicker."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is functional.dropout:
            return self._dropped(*args, **given)
        if func in DRAWS and given.get("generator") is None:
            given["generator"] = self._generator
        return func(*args, **given)

    def _dropped(self, values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        """As `torch.nn.functional.dropout`."""
        if not training or p == 0:
            return values
        kept = torch.empty_like(values, requires_grad=False).bernoulli_(1 - p, generator=self._generator)
        if p < 1:
            kept.div_(1 - p)
        return values.mul_(kept) if inplace else values * kept
