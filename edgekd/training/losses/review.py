"""The learned part of `review_kd`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.training.losses.projectors import MapNorm, pointwise


class Review(nn.Module):
    """The student's maps, from shallow to deep, to as many of the teacher's shapes, each fused with the deeper ones.

    student, teacher: shapes (C, H, W). mid: channels in which they are fused.
    """

    def __init__(self, student: Sequence[tuple[int, ...]], teacher: Sequence[tuple[int, ...]], mid: int) -> None:
        super().__init__()
        last = len(student) - 1
        self.fusions = nn.ModuleList(
            Fusion(mine[0], mid, theirs, fuse=place < last)
            for place, (mine, theirs) in enumerate(zip(student, teacher, strict=True))
        )

    def forward(self, student: Sequence[Tensor]) -> list[Tensor]:
        made: list[Tensor] = []
        deeper: Tensor | None = None
        for fusion, features in zip(reversed(self.fusions), reversed(student), strict=True):
            result, deeper = fusion(features, deeper)
            made.append(result)
        return made[::-1]


class Fusion(nn.Module):
    """One layer's map with what the deeper ones gave: attention-based fusion, figure 3 of the paper.

    Two maps of attention, one for each, from both together. The result has the teacher's shape (C, H, W); what it is
    made of goes on to the next shallower layer.
    """

    def __init__(self, channels: int, mid: int, teacher: tuple[int, ...], *, fuse: bool) -> None:
        super().__init__()
        self.size = teacher[1:]
        self.enter = pointwise(channels, mid)
        self.attention = nn.Sequential(nn.Conv2d(2 * mid, 2, 1), nn.Sigmoid()) if fuse else None
        self.leave = nn.Sequential(nn.Conv2d(mid, teacher[0], 3, padding=1, bias=False), MapNorm(teacher[0]))
        for each in (*self.enter, *self.leave):
            if isinstance(each, nn.Conv2d):
                nn.init.kaiming_uniform_(each.weight, a=1)  # as the authors begin

    def forward(self, features: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        fused: Tensor = self.enter(features)
        if self.attention is not None and deeper is not None:
            deeper = _resized(deeper, fused.shape[2:])
            own, others = self.attention(torch.cat([fused, deeper], dim=1)).chunk(2, dim=1)
            fused = own * fused + others * deeper
        fused = _resized(fused, self.size)
        return self.leave(fused), fused


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The nearest position, also of maps that become smaller."""
    return maps if maps.shape[2:] == torch.Size(size) else functional.interpolate(maps, tuple(size), mode="nearest")
