"""Whether what ships answers the same under every level of graph optimisation, in one line."""

from __future__ import annotations

from edgekd.records.levels import LevelsRecord


def told(record: LevelsRecord) -> str:
    """Such as `under optimisation none 5 of 256 answers differ from all (margins up to 0.02)`."""
    differing = [
        f"under {level} {each.flipped} (margins up to {each.flips[0].margin:.3g})"
        for level, each in record.agreements.items()
        if each.flipped
    ]
    refused = [f"it does not run under {level}" for level in record.refused]
    samples = f"{record.samples:,} validation samples"
    if not differing:
        same = f"{record.model} answers {samples} alike under every other optimisation level than {record.level}"
        return "; ".join((same, *refused))
    answers = f"{record.model} answers some of {samples} otherwise than under optimisation {record.level}"
    return f"{answers}: {', '.join((*differing, *refused))}"
