"""What a run on several targets has to say beside each one's table: who was not reached, who answers differently."""

from __future__ import annotations

from rich.console import Console

from edgekd.records.run import RunRecord
from edgekd.report.text import print_line

FLIPS_SHOWN = 5


def print_targets(record: RunRecord, console: Console) -> None:
    """Prints nothing for a run on one target that was reached."""
    for name, why in record.unreachable.items():
        print_line(console, f"not reached: {name}: {why}", "yellow")
    release = record.release
    for name, agreement in (release.agreements if release else {}).items():
        samples = f"{agreement.flipped} of {agreement.samples:,}"
        files = f" ({agreement.models[1]}, there {agreement.models[0]})" if agreement.models else ""
        print_line(console, f"{name} answers {samples} test samples differently from {agreement.reference}{files}")
        for flip in agreement.flips[:FLIPS_SHOWN]:
            answers = f"class {flip.expected} -> {flip.found}"
            here = "" if flip.found_margin is None else f", {flip.found_margin:.3g} here"
            print_line(console, f"  sample {flip.sample}: {answers}, margin {flip.margin:.3g} there{here}")
