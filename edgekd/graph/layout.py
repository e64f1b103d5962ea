"""Where the runtime leaves its blocks of channels, and which widths make it do so.

ONNX Runtime computes convolutions in blocks of as many channels as a vector has, on processors that it has such
kernels for. Where a number of channels does not fit, it goes back to the plain layout by ReorderOutput, or leaves the
convolution there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from edgekd.errors import StageError
from edgekd.graph.inspect import load_model
from edgekd.graph.padding import pad_channels
from edgekd.records.layout import LayoutRecord, OddWidth

BLOCKED = "com.microsoft.nchwc"
MULTIPLES = (4, 8, 16)
"""Blocks are of 8 or 16 channels. A plain convolution may also have any multiple of 4 above that."""


def with_multiples(fp32: Path, folder: Path) -> dict[int, Path]:
    """The same network with its channels filled up, by the multiple; without those that change nothing, and empty if
    it cannot be followed. They keep the names of tensors."""
    made = {}
    for multiple in MULTIPLES:
        model = load_model(fp32)
        try:
            pad_channels(model, multiple)
        except StageError:
            continue
        made[multiple] = folder / f"multiple-{multiple}.onnx"
        made[multiple].write_bytes(model.SerializeToString(deterministic=True))
    return made


def layout_of(fp32: Path, optimised: Path, filled: Mapping[int, Path]) -> LayoutRecord:
    """What the widths cost. optimised: the graph that the runtime makes of `fp32`; filled: of those of
    `with_multiples`."""
    now = _left(optimised)
    found = LayoutRecord(blocks=now.blocks, reorders=len(now.reorders), outside=len(now.outside))
    if not now.blocks:
        return found
    left = {multiple: _left(path) for multiple, path in sorted(filled.items())}
    multiple = min(left, key=lambda each: left[each].cost, default=None)
    if multiple is None or left[multiple].cost >= now.cost:
        return found
    least = left[multiple]
    saved = (now.reorders - least.reorders) | (now.outside - least.outside)
    return found.model_copy(
        update={
            "multiple": multiple,
            "least_reorders": len(least.reorders),
            "least_outside": len(least.outside),
            "odd": _behind(load_model(fp32).graph, saved),
        }
    )


@dataclass(frozen=True)
class _Left:
    """The tensors at which a graph leaves the blocks, and those that a convolution outside of them gives."""

    blocks: bool
    reorders: frozenset[str]
    outside: frozenset[str]

    @property
    def cost(self) -> int:
        return len(self.reorders) + len(self.outside)


def _left(path: Path) -> _Left:
    nodes = onnx.load(path).graph.node
    return _Left(
        any(each.domain == BLOCKED for each in nodes),
        # the plain side has the name that the tensor has in the file
        frozenset(
            each.output[0] if each.op_type == "ReorderOutput" else each.input[0]
            for each in nodes
            if each.domain == BLOCKED and each.op_type in ("ReorderInput", "ReorderOutput")
        ),
        frozenset(each.output[0] for each in nodes if each.domain != BLOCKED and each.op_type in ("Conv", "FusedConv")),
    )


def _behind(graph: onnx.GraphProto, tensors: frozenset[str]) -> tuple[OddWidth, ...]:
    """The convolution that each tensor comes from, without repeats."""
    makers = {name: node for node in graph.node for name in node.output}
    widths = {tensor.name: int(tensor.dims[0]) for tensor in graph.initializer if tensor.dims}
    convolutions = [node.output[0] for node in graph.node if node.op_type == "Conv"]
    found = set()
    for name in tensors:
        while name in makers and makers[name].op_type != "Conv" and makers[name].input:
            name = makers[name].input[0]  # noqa: PLW2901 - one step towards the convolution
        if name in convolutions:
            number = convolutions.index(name) + 1
            found.add((number, widths.get(makers[name].input[1], 0)))
    return tuple(OddWidth(convolution=number, channels=channels) for number, channels in sorted(found))
