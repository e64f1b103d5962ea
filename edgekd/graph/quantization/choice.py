"""Which candidate ships on a target: the accuracy limit first, then the objective, then the smaller file. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from edgekd.records.evaluation import Paired
from edgekd.records.screening import FP32, ChoiceRecord, Screened, ScreeningRecord, Verdict

Objective = Literal["latency", "size"]
LEAST_SAMPLES = 100
"""Validation samples that a candidate must have answered (or all there are) before its accuracy says anything."""


def choose(
    screening: ScreeningRecord,
    allowed: Collection[str],
    objective: Objective,
    max_accuracy_drop: float,
    margin: float,
    max_bytes: int | None = None,
) -> ChoiceRecord:
    """The choice, and of each candidate why.

    allowed: the names to choose from; others were looked over to be compared with. margin: the relative difference in
    cost below which two are the same. max_bytes: what the target allows a file to have. On a target without a cost the
    smallest is chosen, whatever the objective.
    """
    lost: dict[str, str] = {}
    left: list[Screened] = []
    hurried = 0
    timed = screening.cost == "time" and objective == "latency"
    for each in screening.candidates:
        out = _out(each, allowed, max_accuracy_drop, max_bytes, screening, timed=timed)
        if out is not None:
            lost[each.name] = out.why
            hurried += out.hurried
        else:
            left.append(each)
    if not left:
        return _nothing(screening, lost, objective, max_accuracy_drop)
    if objective == "size" or screening.cost == "none":
        winner, why, losers = _smallest(left)
        if objective == "latency":
            why = f"{why}; times on {screening.target} mean nothing"
    else:
        winner, why, losers = _cheapest(left, screening, margin)
    if hurried:
        compared = why if len(left) > 1 else "nothing else could be compared with it"
        why = f"{compared}; {hurried} more need a longer measure.screen_seconds (--seconds)"
    lost |= losers
    return ChoiceRecord(
        target=screening.target,
        chosen=winner.name,
        session=winner.session,
        objective=objective,
        max_accuracy_drop=max_accuracy_drop,
        candidates=tuple(
            Verdict(name=each.name, ships=each is winner, why=why if each is winner else lost[each.name])
            for each in screening.candidates
        ),
    )


def _nothing(
    screening: ScreeningRecord, lost: dict[str, str], objective: Objective, max_accuracy_drop: float
) -> ChoiceRecord:
    told = "; ".join(f"{name}: {reason}" for name, reason in lost.items())
    return ChoiceRecord(
        target=screening.target,
        chosen=FP32,
        session=screening.candidate(FP32).session,
        objective=objective,
        max_accuracy_drop=max_accuracy_drop,
        candidates=tuple(Verdict(name=each.name, ships=False, why=lost[each.name]) for each in screening.candidates),
        unfit=f"no candidate may ship ({told})",
    )


class _Out(NamedTuple):
    """Why a candidate is out; hurried: more time would have let it be judged."""

    why: str
    hurried: bool = False


def _out(
    each: Screened,
    allowed: Collection[str],
    max_accuracy_drop: float,
    max_bytes: int | None,
    screening: ScreeningRecord,
    *,
    timed: bool,
) -> _Out | None:
    """Why a candidate is out before its cost is looked at; None for one that is not."""
    if each.refused:
        return _Out(each.refused)
    if each.name not in allowed:
        return _Out("not asked for in quantize.candidates")
    if max_bytes is not None and each.size_bytes > max_bytes:
        return _Out(f"{each.size_bytes:,} bytes, and the target allows {max_bytes:,}")
    if each.against_fp32 is None:  # the fp32 file itself
        return None
    inaccurate = _inaccurate(each, each.against_fp32, max_accuracy_drop, screening)
    pair = screening.comparison(each.name, FP32)
    if inaccurate is None and timed and (pair is None or pair.interval is None):
        return _Out("was loaded too few times to be compared", hurried=True)
    return inaccurate


def _inaccurate(each: Screened, pair: Paired, max_accuracy_drop: float, screening: ScreeningRecord) -> _Out | None:
    """Why its answers are not good enough; None when they are."""
    if each.samples < min(LEAST_SAMPLES, screening.validation_samples):
        return _Out(f"answered only {each.samples} validation samples in its time", hurried=True)
    if pair.drop > max_accuracy_drop and screening.judged_by == "fp32":
        most = 100 * max_accuracy_drop
        return _Out(f"answers {100 * pair.drop:.2f} % of the samples otherwise than fp32 (at most {most:.2f})")
    if pair.drop > max_accuracy_drop:
        return _Out(f"loses {100 * pair.drop:.2f} points of accuracy (at most {100 * max_accuracy_drop:.2f})")
    return None


@dataclass(frozen=True)
class _Ratio:
    """A cost relative to another, with what it may as well be."""

    value: float
    low: float
    high: float


def _ratio(each: Screened, other: Screened, screening: ScreeningRecord) -> _Ratio:
    """What one costs relative to the other."""
    if each is other:
        return _Ratio(1.0, 1.0, 1.0)
    if screening.cost == "instructions":
        assert each.instructions is not None
        assert other.instructions is not None
        exact = each.instructions / other.instructions
        return _Ratio(exact, exact, exact)
    pair = screening.comparison(each.name, other.name)
    assert pair is not None, "every pair of candidates is compared"
    low, high = pair.interval or (0.0, float("inf"))
    return _Ratio(pair.ratio, low, high)


def _cheapest(
    left: Sequence[Screened], screening: ScreeningRecord, margin: float
) -> tuple[Screened, str, dict[str, str]]:
    """The least cost; of those that are surely within the margin of it, or seem so and cannot be told from it, the
    smallest file. Who did not come into the final measurement is surely slower than one who did."""
    fp32 = screening.candidate(FP32)
    final = [each for each in left if each.name in screening.finalists] or left
    best = min(final, key=lambda each: _ratio(each, fp32, screening).value)

    def tied(each: Screened) -> bool:
        cost = _ratio(each, best, screening)
        return cost.high <= 1 + margin or (cost.low <= 1 and cost.value <= 1 + margin)

    same = [each for each in final if each is best or tied(each)]
    winner = min(same, key=lambda each: (each.size_bytes, _ratio(each, best, screening).value))
    unit = "instructions" if screening.cost == "instructions" else "time"
    lost = {}
    for each in left:
        if each in same:
            lost[each.name] = f"no faster, and {each.size_bytes:,} bytes against {winner.size_bytes:,}"
        else:
            factor = _ratio(each, best, screening).value
            lost[each.name] = f"takes {factor:.2f} times the {unit} of {best.name}"
    others = [each.name for each in same if each is not winner]
    if others:
        return winner, f"the smallest of the fastest (as fast as {', '.join(others)})", lost
    return winner, "the least instructions" if unit == "instructions" else "the fastest", lost


def _smallest(left: Sequence[Screened]) -> tuple[Screened, str, dict[str, str]]:
    winner = min(left, key=lambda each: each.size_bytes)
    lost = {each.name: f"{each.size_bytes:,} bytes against {winner.size_bytes:,}" for each in left}
    return winner, "the smallest", lost
