"""What could ship of a network: one ONNX file, the session options that it needs, and how it was made."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record
from edgekd.records.model import Execution, ModelFacts


class MadeFile(Record):
    """The file of a candidate.

    session: session configuration entries that it ships with. execution: under these, on the machine that made it.
    calibration_samples: training samples that its ranges were taken from, 0 where it has none.
    saturates_without_vnni: an x86 processor without VNNI adds pairs of products in 16 bits, and two of the 8-bit
    weights can overflow them there; accuracy measured elsewhere does not hold for it.
    """

    facts: ModelFacts
    execution: Execution
    session: dict[str, str]
    calibration_samples: int
    saturates_without_vnni: bool


class CandidateRecord(Record):
    """`file` is None for one that could not be made; `refused` then says why."""

    kept_as: ClassVar[str] = "candidate"

    name: str
    network: str
    scheme: str
    file: MadeFile | None
    refused: str = ""
