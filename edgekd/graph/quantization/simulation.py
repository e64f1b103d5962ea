"""What an 8-bit file will compute, read off the file that the quantizer makes: to be trained in that arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekd.graph.quantization.calibrate import given_ranges
from edgekd.graph.quantization.layers import WEIGHTED, give_own_biases, set_constant
from edgekd.graph.quantization.static import Numbers, finished, quantized
from edgekd.models.eight_bits.arithmetic import (
    Arithmetic,
    Levels,
    Operation,
    RoundedActivation,
    RoundedBias,
    RoundedWeight,
)

QUANTIZED = "_quantized"  # what the quantizer adds to the name of a constant
LARGEST, LARGEST_REDUCED = 127, 64  # steps in the largest weight, of 8 and of 7 bits
ENDS = {TensorProto.UINT8: (0, 255), TensorProto.INT8: (-128, 127)}


@dataclass(frozen=True)
class Ingredients:
    """What an 8-bit file is made of. model: prepared, in float; ranges: of its activations, by name; floating: the
    layers that stay in float."""

    model: onnx.ModelProto
    ranges: Any  # onnxruntime's TensorsData, which has no types
    numbers: Numbers
    floating: tuple[str, ...] = ()

    def file(self) -> bytes:
        """
        Raises:
            StageError: the quantizer fails on the model.
        """
        return finished(quantized(self.model, self.ranges, self.numbers, self.floating))

    def learned(
        self, constants: Mapping[str, NDArray[np.float32]], ranges: Mapping[str, tuple[float, float]]
    ) -> Ingredients:
        """The same with other weights and biases, and other ranges of the activations named."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for name, values in constants.items():
            set_constant(model, name, values)
        return replace(self, model=model, ranges=given_ranges({**dict(_ends_of(self.ranges)), **ranges}))


def with_own_biases(ingredients: Ingredients) -> Ingredients:
    """The same, where layers with equal biases can each learn one of its own."""
    model = onnx.ModelProto()
    model.CopyFrom(ingredients.model)
    give_own_biases(model)
    return replace(ingredients, model=model)


def arithmetic_of(ingredients: Ingredients) -> Arithmetic:
    """The arithmetic of the file that they make; weights and biases of layers may be learned, those in float too.

    Levels are called by the activation that their range is that of.

    Raises:
        StageError: the quantizer fails on the model.
    """
    numbers = replace(ingredients.numbers, form="qdq")  # it computes what the other form does, and says where it rounds
    made = quantized(ingredients.model, ingredients.ranges, numbers, ingredients.floating)
    return _Reader(ingredients.model, made, LARGEST_REDUCED if numbers.reduce_range else LARGEST).arithmetic()


def _ends_of(ranges: Any) -> dict[str, tuple[float, float]]:
    return {name: (float(each.range_value[0]), float(each.range_value[1])) for name, each in ranges.items()}


class _Reader:
    """model: in float; made: with QuantizeLinear and DequantizeLinear; largest: steps in the largest weight."""

    def __init__(self, model: onnx.ModelProto, made: onnx.ModelProto, largest: int) -> None:
        self.made, self.largest = made, largest
        self.factors = {node.input[1] for node in made.graph.node if node.op_type in WEIGHTED}
        self.floats = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self.constants = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
        self.kinds = {each.name: each.data_type for each in made.graph.initializer}
        self.rounders = {node.output[0]: node for node in made.graph.node if node.op_type == "QuantizeLinear"}
        self.levels: dict[str, Levels] = {}
        self.activations: dict[str, RoundedActivation] = {}
        self.weights: dict[str, RoundedWeight] = {}
        self.fixed: dict[str, NDArray[np.generic]] = {}

    def arithmetic(self) -> Arithmetic:
        biases: list[onnx.NodeProto] = []
        for node in self.made.graph.node:
            if node.op_type == "DequantizeLinear":
                if node.input[0] in self.rounders:
                    self._activation(node)
                elif self.kinds[node.input[0]] == TensorProto.INT32:
                    biases.append(node)
                else:
                    self._weight(node)
        operations = tuple(
            Operation(
                node.op_type,
                tuple(node.input),
                tuple(node.output),
                {each.name: helper.get_attribute_value(each) for each in node.attribute},
            )
            for node in self.made.graph.node
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        )
        rounded = {node.output[0]: self._bias(node, operations) for node in biases}
        named = {*(each.source for each in self.weights.values()), *(each.source for each in rounded.values())}
        read = {name for each in operations for name in each.inputs}
        left = {name for each in operations if each.operator in WEIGHTED for name in each.inputs[1:]}
        constants = {name: array for name, array in self.floats.items() if name in read | named}
        known = {each.name for each in self.made.graph.initializer}
        return Arithmetic(
            inputs=tuple(each.name for each in self.made.graph.input if each.name not in known),
            output=self.made.graph.output[0].name,
            operations=operations,
            constants={**constants, **self.fixed},
            learned=tuple(name for name in constants if name in named or (name in left and name not in rounded)),
            levels=self.levels,
            activations=self.activations,
            weights=self.weights,
            biases=rounded,
        )

    def _activation(self, node: onnx.NodeProto) -> None:
        rounder = self.rounders[node.input[0]]
        scale, zero_point = rounder.input[1], rounder.input[2]
        name = scale.removesuffix("_scale")
        self.activations[node.output[0]] = RoundedActivation(rounder.input[0], name)
        self.levels[name] = Levels(
            float(self.constants[scale]), int(self.constants[zero_point]), *ENDS[self.kinds[zero_point]]
        )

    def _weight(self, node: onnx.NodeProto) -> None:
        whole, steps, zero_points = (self.constants[name] for name in node.input)
        axis = next((each.i for each in node.attribute if each.name == "axis"), 1) if steps.ndim else None
        if node.output[0] in self.factors:
            self.weights[node.output[0]] = RoundedWeight(node.input[0].removesuffix(QUANTIZED), axis, self.largest)
            return
        shape = [-1 if place == axis else 1 for place in range(whole.ndim)]
        shifted = whole.astype(np.float32) - zero_points.astype(np.float32).reshape(shape)
        self.fixed[node.output[0]] = shifted * steps.reshape(shape)

    def _bias(self, node: onnx.NodeProto, operations: tuple[Operation, ...]) -> RoundedBias:
        reader = next(each for each in operations if each.inputs[2:3] == (node.output[0],))
        source = node.input[0].removesuffix(QUANTIZED)
        return RoundedBias(source, self.activations[reader.inputs[0]].levels, reader.inputs[1])
