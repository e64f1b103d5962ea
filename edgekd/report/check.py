"""The gate's checks on the terminal and as JSON: what `edgekd check` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console

from edgekd import __version__
from edgekd.records.check import Check, Outcome, verdict
from edgekd.records.latency import LatencyRecord
from edgekd.report.bench import print_disturbances
from edgekd.report.text import print_check, print_line, print_verdict

SCHEMA = 1


def check_json(checks: tuple[Check, ...], record: LatencyRecord, target: str, notes: Sequence[str]) -> str:
    """The documented JSON of a check (docs/measuring.md)."""
    whole = {
        "schema": SCHEMA,
        "edgekd": __version__,
        "target": target,
        "verdict": verdict(checks).value,
        "checks": [each.model_dump(mode="json") for each in checks],
        "notes": list(notes),
        "latency": record.model_dump(mode="json"),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)


def print_checks(checks: tuple[Check, ...], record: LatencyRecord, notes: Sequence[str], console: Console) -> None:
    """Prints each check, the notes, what disturbed the measurement, and the verdict."""
    for check in checks:
        print_check(console, check)
    for note in notes:
        print_line(console, note, "dim")
    if verdict(checks) is not Outcome.PASS:
        print_disturbances(record.disturbances, console)
    print_verdict(console, verdict(checks))
