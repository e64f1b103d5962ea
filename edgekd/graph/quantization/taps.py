"""What flows inside a model while it computes, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgekd.graph.runtime import answers

if TYPE_CHECKING:
    from edgekd.data.modalities.base import FedRows

BATCH = 32  # samples whose inner values are in memory at once


def flowing(model: onnx.ModelProto, tensors: Sequence[str], feeds: FedRows) -> Iterator[list[NDArray[np.float32]]]:
    """The values of these tensors, an array for each, batch after batch; feeds: float32 (N, ...) by input name.

    The runtime optimises nothing: what a QDQ model rounds is computed with in float, exactly and the same on every
    processor. A model with a fixed batch gets as many full ones as there are.
    """
    part = _part_for(model, tensors)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = [each.name for each in session.get_inputs()]
    fixed = next((each.shape[0] for each in session.get_inputs() if isinstance(each.shape[0], int)), None)
    size = fixed or BATCH
    samples = len(feeds[inputs[0]])
    for start in range(0, samples - samples % size if fixed else samples, size):
        yield answers(session, tensors, {name: feeds[name][start : start + size] for name in inputs}, "it")


def _part_for(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """The model with these outputs, and nothing that they do not need."""
    needed = set(tensors)
    nodes: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):  # they stand in an order in which they can run
        if needed.intersection(node.output):
            nodes.append(node)
            needed |= set(node.input)
    graph = helper.make_graph(
        nodes[::-1],
        "part",
        [each for each in model.graph.input if each.name in needed],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors],
        [each for each in model.graph.initializer if each.name in needed],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
