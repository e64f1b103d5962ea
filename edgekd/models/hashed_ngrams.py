"""The module of `use: text_ngrams`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.models.text_inputs import PADDING
from edgekd.models.text_network import Table, TextNetwork, entries, there

FACTOR, PRIME = 1_640_531_527, 2_147_483_647
"""Of the hash, both below 2³¹: a product of what is below PRIME, and a token more, is below 2⁶²."""


class HashedNgrams(TextNetwork):
    """The mean over all tokens and all 2 to `longest` tokens in a row, then a linear layer."""

    def __init__(self, place: int, table: Table, *, longest: int, buckets: int, dropout: float, classes: int) -> None:
        super().__init__(place)
        self.table = table
        if longest > 1:
            self.hashed = entries(buckets, table.outputs)
        self.longest, self.buckets = longest, buckets
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(table.outputs, classes)

    def answer(self, tokens: Tensor) -> Tensor:
        mask = there(tokens)
        total, count = (self.table(tokens) * mask).sum(dim=1), mask.sum(dim=1)
        code, last = tokens.to(torch.int64), tokens
        for _ in range(1, self.longest):
            last = functional.pad(last[:, 1:], (0, 1), value=PADDING)
            code = extended(code, last)
            mask = there(last)  # where its last token is there, so are those before
            total = total + (self.hashed(code % self.buckets) * mask).sum(dim=1)
            count = count + mask.sum(dim=1)
        logits: Tensor = self.head(self.dropout(total / count.clamp(min=1)))
        return logits


def extended(code: Tensor, token: Tensor) -> Tensor:
    """The hash, int64 below PRIME, of some tokens in a row and one more.

    It is computed with whole numbers of 64 bits, none of which overflows: every machine finds the same.
    """
    return (code * FACTOR + token.to(torch.int64) + 1) % PRIME
