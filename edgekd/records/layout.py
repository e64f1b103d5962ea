"""Where the widths of a network do not suit the blocks of channels that a runtime computes in."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class OddWidth(Record):
    """A convolution, by its place in the file from 1 on, and its number of outputs."""

    convolution: int
    channels: int


class LayoutRecord(Record):
    """The fp32 file as the target's runtime loads it.

    blocks: whether it computes convolutions in blocks of channels there. reorders: how often it changes between these
    and the plain layout in one inference; outside: convolutions that it leaves in the plain one. multiple: the least of
    those tried of which the widths would have to be multiples to save the most of both; None where none saves any, or
    where that cannot be found out. least_reorders, least_outside: what is left then. odd: the convolutions behind what
    would be saved.
    """

    kept_as: ClassVar[str] = "layout"

    blocks: bool
    reorders: int
    outside: int
    multiple: int | None = None
    least_reorders: int | None = None
    least_outside: int | None = None
    odd: tuple[OddWidth, ...] = ()
