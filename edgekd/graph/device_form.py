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
    normalised zero still; only where nothing is padded does the bias take it. The first weights take the factor if they
    can.
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
        factors = 1 / (LEVELS * std)
        absorbed = _absorb(graph, name, constants, mean, factors)
        steps = {"Sub": (LEVELS * mean, absorbed.mean), "Mul": (factors, absorbed.factor)}
        left = {operator: values for operator, (values, done) in steps.items() if not done}
        front += _normalising(graph, pixels, "raw.normalised", left, len(spec.shape))
        pixels, taken = "raw.normalised", name
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


@dataclass(frozen=True)
class _Absorbed:
    """What of (byte - 255 mean) · factor the first operator's own constants do."""

    factor: bool = False
    mean: bool = False


def _absorb(
    graph: onnx.GraphProto,
    name: str,
    constants: Mapping[str, NDArray[Any]],
    mean: NDArray[np.float64],
    factors: NDArray[np.float64],
) -> _Absorbed:
    """Changes the constants of the operator that reads the input `name`, as far as that leaves its answers as they are:
    its weights take the factor, and its bias the mean where it pads with nothing."""
    alike = bool((mean == mean[0]).all() and (factors == factors[0]).all())
    node = _sole_reader(graph, name)
    while node is not None and alike and node.op_type in ("Flatten", "Reshape"):
        name, node = node.output[0], _sole_reader(graph, node.output[0])
    if (
        node is None
        or node.input[0] != name
        or node.op_type not in ("Conv", "Gemm")
        or not (alike or node.op_type == "Conv")
    ):
        return _Absorbed()
    weights = constants.get(node.input[1])
    if weights is None or weights.dtype != np.float32:
        return _Absorbed()
    scaled = weights * _of_inputs(node, weights, factors)
    _replace(graph, node, 1, scaled, "raw.weights")
    bias = constants.get(node.input[2]) if len(node.input) > 2 else None
    if bias is None or _pads(node):
        return _Absorbed(factor=True)
    others = tuple(axis for axis in range(weights.ndim) if axis != _output_axis(node))
    _replace(graph, node, 2, bias - (scaled * _of_inputs(node, weights, LEVELS * mean)).sum(axis=others), "raw.bias")
    return _Absorbed(factor=True, mean=True)


def _sole_reader(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    readers = [node for node in graph.node if name in node.input]
    return readers[0] if len(readers) == 1 else None


def _of_inputs(node: onnx.NodeProto, weights: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The value of the input channel that each weight is for, to be multiplied with the weights."""
    if node.op_type == "Gemm":
        return values[:1]
    outputs, inputs = weights.shape[:2]
    groups = len(values) // inputs
    # output channels of group g read the input channels from g · inputs on
    by_output = values.reshape(groups, inputs).repeat(outputs // groups, axis=0)
    return by_output.reshape(outputs, inputs, *[1] * (weights.ndim - 2))


def _pads(node: onnx.NodeProto) -> bool:
    """Whether the operator reads zeros beside its input, or does more with its bias than to add it."""
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Gemm":
        return bool(attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0)
    return any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")


def _output_axis(node: onnx.NodeProto) -> int:
    transposed = any(each.name == "transB" and each.i for each in node.attribute)
    return 1 if node.op_type == "Gemm" and not transposed else 0


def _replace(graph: onnx.GraphProto, node: onnx.NodeProto, place: int, values: NDArray[Any], name: str) -> None:
    """Others may read the constant that was there."""
    graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
    node.input[place] = name


def _normalising(
    graph: onnx.GraphProto,
    pixels: str,
    taken: str,
    steps: Mapping[str, NDArray[np.float64]],
    axes: int,
) -> list[onnx.NodeProto]:
    """The nodes from bytes, channels first, to floats, and from there what `steps` do by operator and channel."""
    form = (1, -1, *[1] * (axes - 1))
    names = ["raw.float", *(f"raw.{operator}" for operator in steps)]
    names[-1] = taken
    nodes = [helper.make_node("Cast", [pixels], [names[0]], to=TensorProto.FLOAT)]
    for number, (operator, values) in enumerate(steps.items()):
        constant = f"raw.by_{operator}"
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float32).reshape(form), constant))
        nodes.append(helper.make_node(operator, [names[number], constant], [names[number + 1]]))
    return nodes


def _give_label(graph: onnx.GraphProto, label: str) -> None:
    """Changes the graph: a second output, the number of the class (N,); of equal logits the first one's."""
    logits = graph.output[0]
    batch = logits.type.tensor_type.shape.dim[0]
    size = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    graph.node.append(helper.make_node("ArgMax", [logits.name], [label], axis=1, keepdims=0))
    graph.output.append(helper.make_tensor_value_info(label, TensorProto.INT64, [size]))
