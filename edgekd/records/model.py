"""What an ONNX file holds and what a runtime makes of it."""

from __future__ import annotations

from edgekd.records.base import Record

MOVES = frozenset(
    {
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that do not compute: they convert or order numbers."""


class TensorSignature(Record):
    """One input or output; a dimension is a number, or the name of one that each call may choose."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class ModelFacts(Record):
    """What the file says. `runtime` is the oldest ONNX Runtime known to load it, None when none is known."""

    sha256: str
    size_bytes: int
    parameters: int
    opset: int
    ir_version: int
    runtime: str | None
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    operators: dict[str, int]


class Execution(Record):
    """What ONNX Runtime runs after its own optimisation on this machine, as counts by operator.

    `float_operators` are those that compute in floating point: none between the quantized input and the logits
    of a model that really is 8-bit; all of an fp32 model's.
    """

    operators: dict[str, int]
    float_operators: dict[str, int]

    @property
    def in_float(self) -> bool:
        """Whether every operator that computes, and does not only move or convert, does so in floating point."""
        computing = {name: count for name, count in self.operators.items() if name not in MOVES}
        return all(count == self.float_operators.get(name) for name, count in computing.items())


class Parity(Record):
    """Two runtimes' logits on the same samples: the largest difference, and how many predictions flipped."""

    samples: int
    max_abs_difference: float
    flipped: int
