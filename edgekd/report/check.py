"""The gate's checks on the terminal and as JSON: what `edgekd check` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from edgekd import __version__
from edgekd.records.check import Check, Outcome, verdict
from edgekd.records.latency import LatencyRecord
from edgekd.report.bench import print_disturbances
from edgekd.report.terminal import MARKS

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
        console.print(_line(check), soft_wrap=True)
    for note in notes:
        console.print(note, style="dim", markup=False, highlight=False, soft_wrap=True)
    if verdict(checks) is not Outcome.PASS:
        print_disturbances(record.disturbances, console)
    mark, colour = MARKS[verdict(checks)]
    console.print(Text(f"\nverdict: {verdict(checks).value} {mark}", style=f"bold {colour}"))


def _line(check: Check) -> Text:
    mark, colour = MARKS[check.outcome]
    observed = "–" if check.observed is None else f"{check.observed:.4g}"
    if check.interval is not None and check.interval[0] != check.interval[1]:
        observed += f" [{check.interval[0]:.4g}, {check.interval[1]:.4g}]"
    line = Text(f"{mark} ", style=colour)
    line.append(f"{check.name:<20} {observed} · limit {check.limit:.4g}", style="default")
    if check.outcome is not Outcome.PASS:
        line.append(f" · {check.why}", style=colour)
    return line
