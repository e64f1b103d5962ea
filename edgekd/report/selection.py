"""What was tried out for the student and what was taken, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.records.selection import SelectionRecord


def selected(record: SelectionRecord) -> Iterator[str]:
    """A line for what was taken, and one for the best of the others."""
    best = record.best
    yield (
        f"selected on validation of {len(record.trials)} trials of {record.epochs} epochs: {best.words} "
        f"({best.accuracy:.2%})"
    )
    others = [each for each in record.finished if each is not best]
    if others:
        second = max(others, key=lambda each: each.accuracy)
        worst = min(others, key=lambda each: each.accuracy)
        yield f"next: {second.words} ({second.accuracy:.2%}), the worst had {worst.accuracy:.2%}"
