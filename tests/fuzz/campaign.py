"""A number of cases of one area, and how each ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.place import Area, Place


@dataclass
class Tally:
    """Cases by outcome; a finding is told by its first line."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


def run_area(area: Area, folder: Path, cases: int, first_seed: int, *, keep_on: bool = False) -> Tally:
    """Tries so many cases in an own folder; with `keep_on` it goes on after a finding.

    Raises:
        whatever the first finding is, with the case that hypothesis has made small.
    """
    tally = Tally()
    place = Place(folder / "place", folder / "honest")
    place.root.mkdir(parents=True)
    place.honest.mkdir()
    area.prepare(place.honest)

    @seed(first_seed)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if keep_on else [Phase.generate, Phase.shrink],
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        try:
            tally.outcomes[area.try_case(data.draw, place)] += 1
        except BaseException as error:
            if not keep_on or isinstance(error, KeyboardInterrupt) or type(error).__module__.startswith("hypothesis"):
                raise
            tally.outcomes["finding"] += 1
            tally.findings.append(_told(error))

    one()
    return tally


def _told(error: BaseException) -> str:
    """The error, and the last place in edgekd that it went through."""
    where, trace = "", error.__traceback__
    while trace is not None:
        if "/edgekd/" in trace.tb_frame.f_code.co_filename:
            where = f"{trace.tb_frame.f_code.co_filename.rpartition('/edgekd/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{where}: {type(error).__name__}: {str(error)[:150]!r}"
