"""A torch module that computes what an 8-bit file does, rounding included, and learns in it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekd.errors import StageError
from edgekd.models.eight_bits.arithmetic import Arithmetic, Operation
from edgekd.models.eight_bits.operators import OPERATORS, SHAPES
from edgekd.models.eight_bits.rounding import (
    rounded_activation,
    rounded_bias,
    rounded_weight,
    weight_step,
)

RANGES_FASTER = 10.0
"""How much faster than a weight the logarithm of a step is learned. Source: Jain et al. 2020, Trained Quantization
Thresholds, appendix B.2, where it has a learning rate of its own for Adam, larger by far."""


class EightBitNetwork(nn.Module):
    """Takes the network's inputs, float32 (N, ...), in their order; gives logits, float32 (N, C).

    What is learned: the constants that may be, and the logarithm of each activation's step (`stretch`), relative to the
    step that it has now; zero points stay, and so do the steps of the tensors in `fixed`. The step of a weight follows
    its largest number, as the quantizer has it.

    Raises:
        StageError: an operator that is not known here.
    """

    first_steps: Tensor
    moves: Tensor

    def __init__(self, arithmetic: Arithmetic, fixed: Collection[str] = ()) -> None:
        super().__init__()
        unknown = sorted({each.operator for each in arithmetic.operations} - OPERATORS.keys() - SHAPES.keys())
        if unknown:
            raise StageError(
                f"cannot be trained in 8 bits: {', '.join(unknown)} is not simulated",
                hint="leave `finetune` out, or replace the operator in the network",
            )
        self.inputs, self.output, self.operations = arithmetic.inputs, arithmetic.output, arithmetic.operations
        self.levels, self.activations = dict(arithmetic.levels), dict(arithmetic.activations)
        self.weights, self.biases = dict(arithmetic.weights), dict(arithmetic.biases)
        self.whole = {
            name: tuple(int(each) for each in np.atleast_1d(array))
            for name, array in arithmetic.constants.items()
            if np.issubdtype(array.dtype, np.integer)
        }
        self._attributes: dict[str, str] = {}
        for place, (name, array) in enumerate(arithmetic.constants.items()):
            if name in self.whole:
                continue
            values = torch.tensor(np.asarray(array, np.float32))
            called = f"constant_{place}"
            if name in arithmetic.learned:
                self.register_parameter(called, nn.Parameter(values))
            else:
                self.register_buffer(called, values)
            self._attributes[name] = called
        self.learned = arithmetic.learned
        first = torch.tensor([each.scale for each in self.levels.values()], dtype=torch.float32)
        self.register_buffer("first_steps", first)
        self.register_buffer("moves", torch.tensor([float(name not in fixed) for name in self.levels]))
        self.stretch = nn.Parameter(torch.zeros(len(first)))

    def forward(self, *inputs: Tensor) -> Tensor:
        steps = dict(zip(self.levels, self._steps(), strict=True))
        known: dict[str, Tensor] = {name: getattr(self, called) for name, called in self._attributes.items()}
        known |= zip(self.inputs, inputs, strict=True)
        weight_steps = {}
        for tensor, weight in self.weights.items():
            values = known[weight.source]
            weight_steps[tensor] = weight_step(values, weight.axis, weight.largest)
            known[tensor] = rounded_weight(values, weight_steps[tensor], weight.axis)
        for tensor, bias in self.biases.items():
            known[tensor] = rounded_bias(known[bias.source], steps[bias.levels] * weight_steps[bias.weight])

        def read(tensor: str) -> Tensor | None:
            if not tensor or tensor in self.whole:
                return None
            if tensor not in known:
                activation = self.activations[tensor]
                levels = self.levels[activation.levels]
                given = read(activation.tensor)
                assert given is not None
                known[tensor] = rounded_activation(
                    given, steps[activation.levels], levels.zero_point, levels.lowest, levels.highest
                )
            return known[tensor]

        for each in self.operations:
            known[each.outputs[0]] = self._done(each, [read(tensor) for tensor in each.inputs])
        logits = read(self.output)
        assert logits is not None
        return logits

    def constants(self) -> dict[str, NDArray[np.float32]]:
        """The learned ones as they are now, by name."""
        found: dict[str, NDArray[np.float32]] = {
            name: getattr(self, self._attributes[name]).detach().cpu().contiguous().numpy() for name in self.learned
        }
        return found

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest value of the levels of each activation, by the name of the levels."""
        with torch.no_grad():
            steps = self._steps().tolist()
        return {name: each.ends(step) for (name, each), step in zip(self.levels.items(), steps, strict=True)}

    def _steps(self) -> Tensor:
        steps: Tensor = self.first_steps * (RANGES_FASTER * self.stretch * self.moves).exp()
        return steps

    def _done(self, operation: Operation, given: list[Tensor | None]) -> Tensor:
        if operation.operator in SHAPES:
            return SHAPES[operation.operator](given, operation.attributes, self.whole[operation.inputs[1]])
        return OPERATORS[operation.operator](given, operation.attributes)
