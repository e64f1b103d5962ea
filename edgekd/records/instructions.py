"""How many instructions an inference executes."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record


class InstructionCount(Record):
    """Over `runs` inferences of one load. They differ by a per mille or so: what Python's own memory does."""

    median: int
    least: int
    most: int
    runs: int


class InstructionRecord(Record):
    """By model, on one emulated processor."""

    kept_as: ClassVar[str] = "instructions"

    models: dict[str, InstructionCount]
