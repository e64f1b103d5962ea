"""What ONNX Runtime makes of a model: did it really quantize?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # its stubs conflict with onnx's

from edgekd.errors import StageError
from edgekd.graph.dry_run import Tensor, tensors_of
from edgekd.graph.multiplications import CONVOLUTIONS, EIGHT_BITS, PRODUCTS, TRANSPOSED, macs_by_type, not_counted
from edgekd.graph.runtime import load_session
from edgekd.records.model import Execution
from edgekd.temporary import temporary_folder

EIGHT_BIT_TYPES = frozenset({onnx.TensorProto.UINT8, onnx.TensorProto.INT8})
TO_FLOAT = frozenset({"DequantizeLinear", "Cast"})
KERNELS = frozenset({
    "Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Mul", "Reshape", "Resize", "Sigmoid",
    "Softmax", "Transpose",
})  # fmt: skip
"""Beside products, what ONNX Runtime has in 8 bits too: such an operator alone between DequantizeLinear and
QuantizeLinear is meant to be so."""


def execution(path: Path, session: Mapping[str, str] = {}, shapes: Mapping[str, tuple[int, ...]] = {}) -> Execution:
    """The operators that run here and what they multiply, after the runtime's own optimisation and before it.

    session: session configuration entries. shapes: of one sample of each input, for the dimensions beside the batch
    that the file leaves free.

    Raises:
        StageError: the runtime cannot load the model, or does not run it.
    """
    with temporary_folder() as folder:
        optimised = folder / "optimised.onnx"
        load_session(path, session, optimised=optimised)
        runs = onnx.load(optimised)
    file = onnx.load(path)
    tensors = tensors_of(runs, shapes)
    arithmetic = _Arithmetic.of(runs.graph, {name for name, each in tensors.items() if each.dtype in EIGHT_BITS})
    return Execution(
        operators=_counted(runs.graph.node),
        float_operators=_counted(arithmetic.floats),
        unfolded=_counted(_unfolded(runs.graph)),
        left_between=_counted(arithmetic.between()),
        unfused=_counted(arithmetic.unfused(tensors)),
        macs=macs_by_type(runs.graph, tensors),
        macs_of_file=macs_by_type(file.graph, tensors_of(file, shapes)),
        uncounted=not_counted(runs.graph),
    )


def executed(optimised: Path) -> Execution:
    """The operators of a graph that a runtime saved on a device; large constants need not be there, so that it cannot
    be run here, and what it multiplies is not known.

    Raises:
        StageError: it is no graph.
    """
    try:
        graph = onnx.load(optimised, load_external_data=False).graph
    except (DecodeError, OSError) as error:
        raise StageError(f"the graph that the runtime saved cannot be read: {type(error).__name__}") from error
    return Execution(
        operators=_counted(graph.node),
        float_operators=_counted(_Arithmetic.of(graph, _eight_bits(graph)).floats),
        unfolded=_counted(_unfolded(graph)),
    )


def _counted(nodes: Iterable[onnx.NodeProto]) -> dict[str, int]:
    return dict(sorted(Counter(node.op_type for node in nodes).items()))


def _unfolded(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The operators that read constants alone."""
    constants = {tensor.name for tensor in graph.initializer}
    return (node for node in graph.node if any(node.input) and constants.issuperset(filter(None, node.input)))


def _eight_bits(graph: onnx.GraphProto) -> set[str]:
    """The activations of 8 bits, as the operators tell without being run."""
    found = {value.name for value in graph.input if value.type.tensor_type.elem_type in EIGHT_BIT_TYPES}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" or (
            node.op_type not in TO_FLOAT and any(name in found for name in node.input)
        ):
            found.update(node.output)
    return found


@dataclass
class _Arithmetic:
    """A graph seen by what is in 8 bits and what is not.

    eight_bits: the tensors that are. floats: the operators that read no 8-bit activation and do not only convert;
    weights alone do not make one 8-bit. dequantized: the float tensors that a DequantizeLinear gives, with whether
    they are activations.
    """

    graph: onnx.GraphProto
    eight_bits: Set[str]
    constants: set[str]
    floats: list[onnx.NodeProto] = field(default_factory=list)
    dequantized: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: onnx.GraphProto, eight_bits: Set[str]) -> _Arithmetic:
        seen = cls(graph, eight_bits, {tensor.name for tensor in graph.initializer})
        for node in graph.node:
            if all(name in seen.constants for name in node.input):
                seen.constants.update(node.output)
                if node.op_type == "DequantizeLinear":
                    seen.dequantized[node.output[0]] = False
            elif node.op_type == "DequantizeLinear":
                seen.dequantized[node.output[0]] = True
            elif node.op_type != "QuantizeLinear" and not any(map(seen._is_8_bit, node.input)):
                seen.floats.append(node)
        return seen

    def _is_8_bit(self, name: str) -> bool:
        return name not in self.constants and name in self.eight_bits

    def between(self) -> list[onnx.NodeProto]:
        """The float operators that what was in 8 bits passes on its way to 8 bits again."""
        floats = {id(node) for node in self.floats}
        came: set[str] = set()
        wanted: set[str] = set()
        for node in self.graph.node:
            leaves = any(map(self._is_8_bit, node.input)) or (id(node) in floats and came.intersection(node.input))
            if leaves and node.op_type not in ("QuantizeLinear", "Cast"):  # Cast: of raw samples, not of a layer
                came.update(name for name in node.output if not self._is_8_bit(name))
        for node in reversed(self.graph.node):
            if node.op_type == "QuantizeLinear":
                wanted.add(node.input[0])
            elif id(node) in floats and wanted.intersection(node.output):
                wanted.update(node.input)
        return [node for node in self.floats if came.intersection(node.input) and wanted.intersection(node.output)]

    def unfused(self, tensors: Mapping[str, Tensor]) -> list[onnx.NodeProto]:
        """The float operators that stand alone between DequantizeLinear and QuantizeLinear though there is a kernel, or
        multiply what is stored in 8 bits on both sides: the file asks for 8 bits, and the runtime makes none of it."""
        readers: dict[str, list[str]] = {}
        for node in self.graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node.op_type)
        found = []
        for node in self.floats:
            given = [name for name in node.input if name and tensors[name].dtype.startswith("float")]
            factors = (CONVOLUTIONS | TRANSPOSED | PRODUCTS).get(node.op_type)
            asked = [node.input[place] for place in factors] if factors else given
            rounded = {each for name in node.output for each in readers.get(name, ())} == {"QuantizeLinear"}
            all_8_bit = any(map(self.dequantized.get, asked)) and all(name in self.dequantized for name in asked)
            if all_8_bit and (factors or (rounded and node.op_type in KERNELS)):
                found.append(node)
        return found
