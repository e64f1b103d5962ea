"""What an ONNX file holds and what a runtime makes of it."""

from __future__ import annotations

from edgekd.records.base import Record


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
    """What ONNX Runtime runs after its own optimisation on one machine, as counts by operator.

    `float_operators` are those that compute in floating point: none between the quantized input and the logits
    of a model that really is 8-bit; all of an fp32 model's. `unfolded` read constants alone, and still run in every
    inference.
    """

    operators: dict[str, int]
    float_operators: dict[str, int]
    unfolded: dict[str, int] = {}

    @property
    def in_float(self) -> bool:
        """Whether every operator computes in floating point."""
        return self.operators == self.float_operators

    @property
    def rearranges(self) -> bool:
        """Whether it arranges tensors in blocks of channels for its float convolutions, and back (NCHWc)."""
        return "ReorderInput" in self.operators or "ReorderOutput" in self.operators


class Parity(Record):
    """Two runtimes' logits on the same samples: the largest difference, and how many predictions flipped."""

    samples: int
    max_abs_difference: float
    flipped: int
