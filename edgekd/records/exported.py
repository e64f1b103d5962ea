"""The facts of the files that the export stage wrote."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.model import ModelFacts, Parity


class ExportedModel(Record):
    facts: ModelFacts
    parity: Parity


class Exported(Record):
    teacher: ExportedModel
    student: ExportedModel
