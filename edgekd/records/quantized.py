"""The facts of the file that the quantize stage wrote: the one that ships."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.model import ModelFacts, QuantizationFacts


class Quantized(Record):
    scheme: str
    facts: ModelFacts
    quantization: QuantizationFacts
