"""The module of `use: text_transformer`: attention written out, so that each matrix is one that can be quantized."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgekd.models.text_network import Table, TextNetwork, mean_over, there

NOT_THERE = -1e4
"""Added to what is not to be attended to: e to its power is 0 in every type, and half precision holds it."""


class TransformerLayers(TextNetwork):
    """Table, positions, `depth` layers, a norm, the mean over the text, a linear layer; length: of the longest text."""

    def __init__(
        self,
        place: int,
        table: Table,
        *,
        length: int,
        depth: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        classes: int,
    ) -> None:
        super().__init__(place)
        width = table.outputs
        self.table = table
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(width, heads, feed_forward, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def answer(self, tokens: Tensor) -> Tensor:
        mask = there(tokens)
        values = self.dropout(self.table(tokens) + self.positions[: tokens.shape[1]])
        unwanted = (1 - mask).transpose(1, 2).unsqueeze(1) * NOT_THERE
        for layer in self.layers:
            values = layer(values, unwanted)
        logits: Tensor = self.head(self.dropout(mean_over(self.norm(values), mask)))
        return logits


class Layer(nn.Module):
    """Values (N, L, width), what is added to the attention (N, 1, 1, L) -> values (N, L, width)."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(nn.Linear(width, feed_forward), nn.ReLU(), nn.Linear(feed_forward, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, unwanted: Tensor) -> Tensor:
        first, second = self.norms
        values = values + self.dropout(self.attention(first(values), unwanted))
        changed: Tensor = values + self.dropout(self.feed_forward(second(values)))
        return changed


class Attention(nn.Module):
    """softmax(Q Kᵀ / √d + unwanted) V in each head, of d numbers; as `Layer`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.read = nn.Linear(width, 3 * width)
        self.write = nn.Linear(width, width)

    def forward(self, values: Tensor, unwanted: Tensor) -> Tensor:
        asked, offered, content = self.read(values).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        scores = asked @ offered.transpose(-1, -2) * asked.shape[-1] ** -0.5 + unwanted
        mixed = scores.softmax(dim=-1) @ content
        written: Tensor = self.write(mixed.transpose(1, 2).flatten(2))
        return written
