"""The form in which a network's file goes to a device: raw samples in, and if wanted the number of the class out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.errors import StageError
from edgekd.graph.slim import slim
from edgekd.records.contract import InputSpec, ModelContract

LEVELS = 255  # of a byte: a normalised input is (byte / 255 - mean) / std
CHANNELS_FIRST = (0, 3, 1, 2)
Ranges = Mapping[str, tuple[float, float]]
"""The least and the largest value of an input, by its name."""


@dataclass(frozen=True)
class DeviceForm:
    """network: what the network's own file takes and gives; shipped: what the file that could ship does."""

    network: ModelContract
    shipped: ModelContract

    @property
    def ranges(self) -> Ranges:
        """In which an 8-bit file must take its input for bytes to be that input: from (0 - z) · s to (255 - z) · s with
        s = 1 / (255 std) and z = round(255 mean). Empty where the channels differ, or it takes no bytes."""
        if not self.shipped.raw:
            return {}
        mean, std = _normalisation(self.shipped.inputs[0])
        if (mean != mean[0]).any() or (std != std[0]).any():
            return {}
        scale, zero = 1 / (LEVELS * std[0]), round(LEVELS * float(mean[0]))
        return {self.network.inputs[0].name: (-zero * scale, (LEVELS - zero) * scale)}

    def apply(self, content: bytes) -> bytes:
        """The file in this form, the same bytes each time; `content`: one that takes and gives what the network does.

        Raises:
            StageError: it has more than one input, or its input is read in a subgraph.
        """
        if self.shipped == self.network:
            return content
        model = onnx.load_from_string(content)
        if self.shipped.raw:
            _take_bytes(model.graph, self.shipped.inputs[0])
        if self.shipped.label:
            _give_label(model.graph, self.shipped.label)
        slim(model)
        changed: bytes = model.SerializeToString(deterministic=True)
        return changed


def takes_bytes(content: bytes) -> bool:
    """Whether a file is fed raw samples."""
    graph = onnx.load_from_string(content).graph
    return any(each.type.tensor_type.elem_type == TensorProto.UINT8 for each in graph.input)


def _take_bytes(graph: onnx.GraphProto, spec: InputSpec) -> None:
    """Changes the graph: its input is of bytes, in the shape of `spec`.

    Where the first operator only makes bytes of the normalised input, with the scale and zero point that give the
    pixels again, it is left out: they were bytes already. Else they are normalised in float, as (byte - 255 mean) times
    1 / (255 std). The mean is subtracted, not made a part of the bias: so a zero that a convolution pads with is the
    normalised zero still. The factor becomes part of the first operator's weights where it can.
    """
    made = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in made]
    if len(inputs) != 1:
        raise StageError(f"the model has {len(inputs)} inputs, and bytes are for one", hint="set `export.input: float`")
    name = inputs[0].name
    readers = [node for node in graph.node if name in node.input]
    mean, std = _normalisation(spec)
    batch = inputs[0].type.tensor_type.shape.dim[0]
    size = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    inputs[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, [size, *spec.shape]))
    front, pixels = [], name
    if len(mean) > 1:
        front, pixels = [helper.make_node("Transpose", [name], ["raw.first"], perm=CHANNELS_FIRST)], "raw.first"
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    if _only_rounds(readers, constants, mean, std):
        (quantize,) = readers
        graph.node.remove(quantize)
        taken = quantize.output[0]
    else:
        taken = "raw.normalised"
        factors = 1 / (LEVELS * std)
        absorbed = _absorbed(graph, readers, name, constants, factors)
        front += _normalising(graph, pixels, taken, mean, None if absorbed else factors, len(spec.shape))
        pixels, taken = taken, name
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == taken:
                node.input[place] = pixels
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*front, *kept])


def _normalisation(spec: InputSpec) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean, std = (np.array(spec.preprocessing[key], dtype=np.float64) for key in ("mean", "std"))
    return mean, std


def _only_rounds(
    readers: list[onnx.NodeProto],
    constants: Mapping[str, NDArray[Any]],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
) -> bool:
    """Whether the only reader of the input is a QuantizeLinear that gives each normalised byte as itself."""
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear" or len(readers[0].input) != 3:
        return False
    scale, zero = (constants.get(each) for each in readers[0].input[1:])
    if scale is None or zero is None or scale.size != 1 or zero.dtype != np.uint8:
        return False
    pixels = np.arange(LEVELS + 1)
    inputs = ((pixels / LEVELS - mean[:, None]) / std[:, None]).astype(np.float32)
    given = np.clip(np.rint(inputs / scale.astype(np.float32)) + int(zero.reshape(())), 0, LEVELS)
    return bool((given == pixels).all())


def _absorbed(
    graph: onnx.GraphProto,
    readers: list[onnx.NodeProto],
    name: str,
    constants: Mapping[str, NDArray[Any]],
    factors: NDArray[np.float64],
) -> bool:
    """Whether the first operator's weights could be multiplied so that its input need not be; by input channel."""
    if len(readers) != 1 or readers[0].op_type != "Conv" or readers[0].input[0] != name:
        return False
    node = readers[0]
    weights = constants.get(node.input[1])
    if weights is None or weights.dtype != np.float32:
        return _absorbed_by_scale(graph, node, constants, factors)
    outputs, inputs = weights.shape[:2]
    groups = len(factors) // inputs
    # output channels of group g read the input channels from g · inputs on
    by_output = factors.reshape(groups, inputs).repeat(outputs // groups, axis=0)
    scaled = weights * by_output.reshape(outputs, inputs, *[1] * (weights.ndim - 2))
    graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), "raw.weights"))
    node.input[1] = "raw.weights"
    return True


def _absorbed_by_scale(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: Mapping[str, NDArray[Any]],
    factors: NDArray[np.float64],
) -> bool:
    """The same by the scale of 8-bit weights, which knows no input channels."""
    made = next((each for each in graph.node if node.input[1] in each.output), None)
    shared = sum(node.input[1] in each.input for each in graph.node) > 1
    if made is None or shared or made.op_type != "DequantizeLinear" or (factors != factors[0]).any():
        return False
    if made.input[0] not in constants or made.input[1] not in constants:
        return False
    scaled = constants[made.input[1]] * factors[0]
    graph.initializer.append(numpy_helper.from_array(scaled.astype(np.float32), "raw.scale"))
    made.input[1] = "raw.scale"
    return True


def _normalising(
    graph: onnx.GraphProto,
    pixels: str,
    taken: str,
    mean: NDArray[np.float64],
    factors: NDArray[np.float64] | None,
    axes: int,
) -> list[onnx.NodeProto]:
    """The nodes from bytes, channels first, to (byte - 255 mean) · factors."""
    form = (1, -1, *[1] * (axes - 1))

    def constant(name: str, values: NDArray[np.float64]) -> str:
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32).reshape(form), name))
        return name

    centred = taken if factors is None else "raw.centred"
    nodes = [
        helper.make_node("Cast", [pixels], ["raw.float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["raw.float", constant("raw.mean", LEVELS * mean)], [centred]),
    ]
    if factors is not None:
        nodes.append(helper.make_node("Mul", [centred, constant("raw.factors", factors)], [taken]))
    return nodes


def _give_label(graph: onnx.GraphProto, label: str) -> None:
    """Changes the graph: a second output, the number of the class (N,); of equal logits the first one's."""
    logits = graph.output[0]
    batch = logits.type.tensor_type.shape.dim[0]
    size = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    graph.node.append(helper.make_node("ArgMax", [logits.name], [label], axis=1, keepdims=0))
    graph.output.append(helper.make_tensor_value_info(label, TensorProto.INT64, [size]))
