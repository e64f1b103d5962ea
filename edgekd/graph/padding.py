"""Channels of zeros beside a network's own, so that their number suits the kernels; the answers stay what they are."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.channels import Channels

OLDEST_OPSET = 11  # the first whose Pad takes its widths as an input


def pad_channels(model: onnx.ModelProto, multiple: int) -> None:
    """Changes the model in place: every convolution gets so many outputs that their number is a multiple.

    The added ones have weights and biases of zero, and whatever reads them multiplies them by zero. They are not
    stored: a Pad of each constant makes them, which the runtime does once, at load. Inputs, outputs and the widths of
    fully connected layers stay.

    Raises:
        StageError: no convolution has another number of outputs, or the outputs reach an operator that this cannot
            follow.
    """
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if opset < OLDEST_OPSET:
        raise StageError(
            f"the model is of operator set {opset}, and adding channels needs {OLDEST_OPSET}",
            hint="export it again with a newer operator set",
        )
    channels = Channels(model)
    for node in model.graph.node:
        channels.follow(node)
    channels.check(multiple)
    _apply(model.graph, channels, multiple)


def _apply(graph: onnx.GraphProto, channels: Channels, multiple: int) -> None:
    """Puts a Pad before each reader of a constant that gets longer."""
    ahead: dict[int, list[onnx.NodeProto]] = {}
    made: dict[tuple[str, tuple[int, ...]], str] = {}
    nodes = list(graph.node)
    for reader in channels.readers:
        node = nodes[reader.node]
        name = node.input[reader.position]
        shape = channels.constants[name]
        ends = [0] * len(shape)
        for axis, number, per in reader.axes:
            group = channels.group(number)
            ends[axis] = (group.width(multiple) - group.count) * per
        if not any(ends):
            continue
        key = (name, tuple(ends))
        if key not in made:
            made[key] = f"{name}_padded{len(made)}"
            widths = f"{made[key]}_widths"
            graph.initializer.append(numpy_helper.from_array(np.array([0] * len(shape) + ends, np.int64), widths))
            ahead.setdefault(reader.node, []).append(helper.make_node("Pad", [name, widths], [made[key]]))
        node.input[reader.position] = made[key]
    for number, output in channels.depthwise.items():
        width = channels.group(channels.of[output]).width(multiple)
        for attribute in nodes[number].attribute:
            if attribute.name == "group":
                attribute.i = width
    for number in channels.flattening:  # a Reshape says how many elements there are
        before, after = nodes[number].input[0], nodes[number].output[0]
        nodes[number].CopyFrom(helper.make_node("Flatten", [before], [after], axis=1))
    ordered = [each for number, node in enumerate(nodes) for each in (*ahead.get(number, []), node)]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(kept)
    graph.ClearField("value_info")
