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
    """What ONNX Runtime runs after its own optimisation on one machine, as counts by operator.

    `float_operators` are those that compute in floating point: none between the quantized input and the logits
    of a model that really is 8-bit; all of an fp32 model's. `unfolded` read constants alone, and still run in every
    inference. `left_between`: those of the float ones that what is in 8 bits passes on its way to 8 bits again;
    `unfused`: those for which the file asks for 8 bits, by DequantizeLinear before and QuantizeLinear behind, and which
    the runtime computes in float all the same.

    macs: multiply-accumulates of one inference by the type that they are computed in, those of channels that the
    runtime fills up among them; macs_of_file: as the file has them, before optimisation. uncounted: operators that
    multiply and are in neither. All are empty in records of before they were kept, and where they are not known.
    """

    operators: dict[str, int]
    float_operators: dict[str, int]
    unfolded: dict[str, int] = {}
    left_between: dict[str, int] = {}
    unfused: dict[str, int] = {}
    macs: dict[str, int] = {}
    macs_of_file: dict[str, int] = {}
    uncounted: dict[str, int] = {}

    @property
    def in_float(self) -> bool:
        """Whether every operator that computes, and does not only move or convert, does so in floating point."""
        computing = {name: count for name, count in self.operators.items() if name not in MOVES}
        return all(count == self.float_operators.get(name) for name, count in computing.items())

    @property
    def rearranges(self) -> bool:
        """Whether it arranges tensors in blocks of channels for its float convolutions, and back (NCHWc)."""
        return "ReorderInput" in self.operators or "ReorderOutput" in self.operators

    @property
    def int8_share(self) -> float | None:
        """Of the multiply-accumulates, 0 to 1; None where none is known."""
        total = sum(self.macs.values())
        return self.macs.get("int8", 0) / total if total else None

    @property
    def arithmetic(self) -> str:
        """What it computes in, for people: `int8 98.7 % of 372,816 MACs, float32 the rest`; empty where unknown."""
        total = sum(self.macs.values())
        if not total:
            return ""
        kinds = sorted(self.macs, key=lambda kind: (kind != "int8", -self.macs[kind]))
        told = f"{kinds[0]} {percent(self.macs[kinds[0]], total)} of {total:,} MACs"
        if len(kinds) == 1:
            told = f"{kinds[0]} {total:,} MACs" if kinds[0] != "int8" else told
        elif len(kinds) == 2:
            told += f", {kinds[1]} the rest"
        else:
            told += "".join(f", {kind} {percent(self.macs[kind], total)}" for kind in kinds[1:])
        in_file = sum(self.macs_of_file.values())
        told += f" ({in_file:,} in the file)" if in_file not in (0, total) else ""
        left = ", ".join(f"{count} {name}" for name, count in self.uncounted.items())
        return f"{told}, without those of {left}" if left else told


def percent(part: int, total: int) -> str:
    """With one digit, and never 100 or 0 where it is not exactly so."""
    if part in (0, total):
        return f"{100 * part // total} %"
    return f"{min(99.9, max(0.1, 100 * part / total)):.1f} %"


class Parity(Record):
    """Two runtimes' logits on the same samples: the largest difference, and how many predictions flipped."""

    samples: int
    max_abs_difference: float
    flipped: int
