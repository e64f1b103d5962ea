"""Whether this processor adds pairs of 8-bit products in 16 bits, which overflow."""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

TERMS = 64


@functools.cache
def sums_overflow_here() -> bool:
    """What the runtime makes of the largest products that there are; so it is on x86 without VNNI."""
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "g",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, (TERMS, TERMS)),
            helper.make_tensor_value_info("b", TensorProto.INT8, (TERMS, TERMS)),
        ],
        [helper.make_tensor_value_info("c", TensorProto.INT32, (TERMS, TERMS))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    largest = {"a": np.full((TERMS, TERMS), 255, np.uint8), "b": np.full((TERMS, TERMS), 127, np.int8)}
    return bool((session.run(None, largest)[0] != TERMS * 255 * 127).any())
