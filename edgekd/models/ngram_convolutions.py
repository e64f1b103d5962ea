"""The module of `use: text_cnn`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.models.text_cnn import Pooling
from edgekd.models.text_network import Table, TextNetwork, mean_over, there


class NgramConvolutions(TextNetwork):
    """Convolutions of the given lengths, ReLU, pooling over the text, a linear layer.

    Every place of the text has one value of each convolution: a window that reaches over its ends sees zeros there, and
    those that begin behind it count 0, as ReLU's smallest value does. So the maximum needs no other mask, and what is
    computed stays fit for 8 bits.
    """

    def __init__(
        self,
        place: int,
        table: Table,
        kernels: Sequence[int],
        channels: int,
        *,
        pooling: Pooling,
        bag: bool,
        dropout: float,
        classes: int,
    ) -> None:
        super().__init__(place)
        self.table = table
        self.convolutions = nn.ModuleList(nn.Conv1d(table.outputs, channels, length) for length in kernels)
        self.kernels, self.pooling, self.bag = tuple(kernels), pooling, bag
        self.dropout = nn.Dropout(dropout)
        features = len(self.kernels) * channels * (2 if pooling == "both" else 1)
        self.head = nn.Linear(features + bag * table.outputs, classes)

    def answer(self, tokens: Tensor) -> Tensor:
        mask = there(tokens)
        words = self.table(tokens) * mask
        found: list[Tensor] = []
        for length, convolution in zip(self.kernels, self.convolutions, strict=True):
            padded = functional.pad(words.transpose(1, 2), ((length - 1) // 2, length // 2))
            found.append(functional.relu(convolution(padded)) * mask.transpose(1, 2))
        values = torch.cat(found, dim=1)
        pooled: list[Tensor] = []
        if self.pooling != "mean":
            pooled.append(values.amax(dim=2))
        if self.pooling != "max":
            pooled.append(mean_over(values.transpose(1, 2), mask))
        if self.bag:
            pooled.append(mean_over(words, mask))
        logits: Tensor = self.head(self.dropout(torch.cat(pooled, dim=1)))
        return logits
