"""A network's fp32 ONNX file."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.model import ModelFacts, Parity


class ExportedRecord(Record):
    """`parity` with the network as it was trained; None for a file that came from elsewhere. `layers`: those that have
    weights, in the order of the graph, by the names of their modules, which the file no longer has."""

    kept_as: ClassVar[str] = "exported"

    facts: ModelFacts
    parity: Parity | None
    layers: tuple[str, ...] = ()
