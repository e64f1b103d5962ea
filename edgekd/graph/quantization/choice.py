"""Which candidate ships on a target: the accuracy limit first, then the objective, then the smaller file. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekd.errors import StageError
from edgekd.records.screening import FP32, ChoiceRecord, Screened, ScreeningRecord, Verdict

Objective = Literal["latency", "size"]


def choose(
    screening: ScreeningRecord,
    allowed: Collection[str],
    objective: Objective,
    max_accuracy_drop: float,
    margin: float,
) -> ChoiceRecord:
    """The choice, and of each candidate why.

    allowed: the names to choose from; others were looked over to be compared with. margin: the relative difference in
    cost below which two are the same. On a target without a cost the smallest is chosen, whatever the objective.

    Raises:
        StageError: no candidate keeps the accuracy.
    """
    lost: dict[str, str] = {}
    left: list[Screened] = []
    for each in screening.candidates:
        reason = _out(each, allowed, max_accuracy_drop)
        if reason:
            lost[each.name] = reason
        else:
            left.append(each)
    if not left:
        told = "; ".join(f"{name} {reason}" for name, reason in lost.items())
        raise StageError(
            f"no candidate can ship on {screening.target}: {told}",
            hint="raise quantize.max_accuracy_drop, or add fp32 to quantize.candidates",
        )
    if objective == "size" or screening.cost == "none":
        winner, why, losers = _smallest(left, screening)
        if objective == "latency":
            why = f"{why}; times on {screening.target} mean nothing"
    else:
        winner, why, losers = _cheapest(left, screening, margin)
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


def _out(each: Screened, allowed: Collection[str], max_accuracy_drop: float) -> str:
    """Why a candidate is out before any cost is looked at; empty for one that is not."""
    if each.refused:
        return each.refused
    if each.name not in allowed:
        return "not asked for in quantize.candidates"
    drop = each.against_fp32.drop if each.against_fp32 is not None else 0.0
    if drop > max_accuracy_drop:
        return f"loses {100 * drop:.2f} points of accuracy (at most {100 * max_accuracy_drop:.2f})"
    return ""


@dataclass(frozen=True)
class _Cost:
    """Relative to the fp32 file, with what it may as well be."""

    value: float
    low: float
    high: float


def _cost(each: Screened, screening: ScreeningRecord) -> _Cost:
    if screening.cost == "instructions":
        reference = screening.candidate(FP32).instructions
        assert each.instructions is not None
        assert reference is not None
        ratio = each.instructions / reference
        return _Cost(ratio, ratio, ratio)
    if each.comparison is None:  # the fp32 file itself
        return _Cost(1.0, 1.0, 1.0)
    low, high = each.comparison.interval or (0.0, float("inf"))
    return _Cost(each.comparison.ratio, low, high)


def _cheapest(
    left: Sequence[Screened], screening: ScreeningRecord, margin: float
) -> tuple[Screened, str, dict[str, str]]:
    """The least cost; of those that cannot be told from it, or differ by less than the margin, the smallest file."""
    costs = {each.name: _cost(each, screening) for each in left}
    best = min(left, key=lambda each: costs[each.name].value)
    least = costs[best.name]

    def tied(each: Screened) -> bool:
        cost = costs[each.name]
        return cost.low <= least.high or cost.high <= least.value * (1 + margin)

    same = [each for each in left if each is best or tied(each)]
    winner = min(same, key=lambda each: (each.size_bytes, costs[each.name].value))
    unit = "instructions" if screening.cost == "instructions" else "time"
    lost = {}
    for each in left:
        factor = costs[each.name].value / costs[winner.name].value
        if each in same:
            lost[each.name] = f"no faster, and {each.size_bytes:,} bytes against {winner.size_bytes:,}"
        else:
            lost[each.name] = f"takes {factor:.2f} times the {unit} of {winner.name}"
    others = [each.name for each in same if each is not winner]
    if others:
        return winner, f"the smallest of the fastest (as fast as {', '.join(others)})", lost
    return winner, f"the least {unit}" if unit == "instructions" else "the fastest", lost


def _smallest(left: Sequence[Screened], screening: ScreeningRecord) -> tuple[Screened, str, dict[str, str]]:
    def order(each: Screened) -> tuple[int, float]:
        return each.size_bytes, 0.0 if screening.cost == "none" else _cost(each, screening).value

    winner = min(left, key=order)
    lost = {each.name: f"{each.size_bytes:,} bytes against {winner.size_bytes:,}" for each in left}
    return winner, "the smallest", lost
