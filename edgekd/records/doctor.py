"""How fit a machine is for measuring."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.environment import Disturbance, Environment


class Gaps(Record):
    """When a loop that only looked at the clock could not: each gap of 20 µs and more."""

    per_second: float
    longest_s: float
    lost: float
    """Share of the time, 0 to 1."""


class Health(Record):
    environment: Environment
    gaps: Gaps
    findings: tuple[Disturbance, ...]
