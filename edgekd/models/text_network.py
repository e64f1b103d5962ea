"""What the networks for texts are made of: answers that depend on the words alone, not on what fills a text up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from edgekd.models.text_inputs import PADDING

START = 0.1
"""torch's own, 1, is too large: most entries are seen a few times, and stay close to the noise that they start as."""


_WHOLE = ContextVar("whole", default=False)


@contextmanager
def whole_length() -> Iterator[None]:
    """Inside it, in this thread, no batch is trimmed, so that what a layer says of each place has one form for all."""
    before = _WHOLE.set(True)
    try:
        yield
    finally:
        _WHOLE.reset(before)


class TextNetwork(nn.Module):
    """place: of the input that it reads, among those that it is called with: tokens int32 (N, L)."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        tokens = second if self.place else first
        assert tokens is not None
        return self.answer(trimmed(tokens))

    @abstractmethod
    def answer(self, tokens: Tensor) -> Tensor:
        """Tokens int32 (N, L) -> logits (N, classes), the same whatever number of zeros follow a text."""


class PieceReader(TextNetwork):
    """One that reads the pieces of words, and says something of each."""

    @abstractmethod
    def outputs(self, pieces: Tensor) -> Tensor:
        """Pieces int32 (N, P) -> what the last layer before the classifier says of each, float32 (N, P, D)."""


def trimmed(tokens: Tensor) -> Tensor:
    """The tokens of a batch as far as its longest text goes, at least one: most batches are far shorter than the
    longest text of all. A graph that is recorded keeps the length as it is: it holds for any."""
    if _WHOLE.get() or torch.compiler.is_compiling() or torch.compiler.is_exporting():
        return tokens
    used = (tokens != PADDING).any(dim=0).nonzero()
    return tokens[:, : int(used[-1]) + 1 if len(used) else 1]


def there(tokens: Tensor) -> Tensor:
    """Tokens (N, L) -> float32 (N, L, 1): 1 where a text is, 0 where it is filled up."""
    return (tokens != PADDING).unsqueeze(-1).to(torch.float32)


def mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """Values (N, L, D), mask (N, L, 1) -> their mean (N, D) where the mask is 1; 0 for a text of nothing."""
    return (values * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


class WordDropout(nn.Module):
    """Leaves out whole words in training: all numbers of a place, with those that stay scaled up."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or not self.share:
            return values
        kept = torch.rand(*values.shape[:2], 1, device=values.device) >= self.share
        return values * (kept / (1 - self.share))


def entries(count: int, width: int) -> nn.Embedding:
    """A fresh table of numbers of standard deviation START."""
    table = nn.Embedding(count, width)
    with torch.no_grad():
        table.weight.mul_(START)
    return table


class Table(nn.Sequential):
    """The numbers of each entry of a vocabulary, tokens (N, L) -> (N, L, outputs): `entries` (V, width), then words
    left out in training, and where outputs are not width `wider`, a linear layer to outputs.

    Source: Lan et al. 2020, ALBERT, section 3.1 (the factorised table).
    """

    def __init__(self, vocabulary: int, width: int, outputs: int | None = None, word_dropout: float = 0) -> None:
        super().__init__()
        self.add_module("entries", entries(vocabulary, width))
        if word_dropout:
            self.add_module("words", WordDropout(word_dropout))
        if outputs is not None and outputs != width:
            self.add_module("wider", nn.Linear(width, outputs, bias=False))
        self.outputs = outputs or width
