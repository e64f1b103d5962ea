"""What a target's runtime makes of the file that ships there."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class OrtFile(Record):
    """The model in ONNX Runtime's own format, as it is optimised on a target.

    largest_difference: of its answers to the golden samples from those of the ONNX file, given there, in units of the
    logits. blocked: whether its layout is for processors that work on blocks of as many channels as the target's.
    """

    sha256: str
    size_bytes: int
    largest_difference: float
    blocked: bool


class OptimisedRecord(Record):
    """`operators`: those that run, by domain and operator set ("ai.onnx;13"); `onnxruntime`: what made it.

    `ort` is None where it is not wanted; refused: why the runtime could not say, in one line.
    """

    kept_as: ClassVar[str] = "optimised"

    target: str
    onnxruntime: str
    operators: dict[str, tuple[str, ...]]
    ort: OrtFile | None
    refused: str = ""
