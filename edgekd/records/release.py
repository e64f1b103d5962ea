"""The gate's answer."""

from __future__ import annotations

from edgekd.records.base import Record
from edgekd.records.check import Check, Outcome


class ReleaseRecord(Record):
    """`checks` by target name; `verdict` is the worst of all."""

    verdict: Outcome
    targets: dict[str, Outcome]
    checks: dict[str, tuple[Check, ...]]
