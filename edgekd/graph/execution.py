"""What ONNX Runtime makes of a model: did it really quantize?"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx

from edgekd.graph.runtime import load_session
from edgekd.records.model import Execution

QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
TO_FLOAT = frozenset({"DequantizeLinear", "Cast"})


def execution(path: Path, session: Mapping[str, str] = {}) -> Execution:
    """The operators that run here, after the runtime's own optimisation; `session`: session configuration entries.

    Raises:
        StageError: the runtime cannot load the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimised = Path(folder) / "optimised.onnx"
        load_session(path, session, optimised=optimised)
        graph = onnx.load(optimised).graph
    return Execution(
        operators=dict(sorted(Counter(node.op_type for node in graph.node).items())),
        float_operators=dict(sorted(_float_operators(graph).items())),
    )


def _float_operators(graph: onnx.GraphProto) -> Counter[str]:
    """The operators that read no 8-bit activation and do not only convert; weights alone do not make one 8-bit."""
    constants = {tensor.name for tensor in graph.initializer}
    quantized: set[str] = {value.name for value in graph.input if _is_8_bit(value)}
    found: Counter[str] = Counter()
    for node in graph.node:
        reads_8_bit = any(name in quantized for name in node.input)
        if node.op_type == "QuantizeLinear" or (reads_8_bit and node.op_type not in TO_FLOAT):
            quantized.update(node.output)
        elif node.op_type not in QUANTIZERS and not all(name in constants for name in node.input):
            found[node.op_type] += 1
    return found


def _is_8_bit(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8)
