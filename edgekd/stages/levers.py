"""What would change a verdict that is no pass, with numbers: of each check that did not pass, a few sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import LatencyRecord
from edgekd.records.screening import FP32, ChoiceRecord, ScreeningRecord
from edgekd.stages.evidence import fewest

DEMANDS = {"accuracy_drop": "max_accuracy_drop", "agreement": "min_agreement", "accuracy": "min_accuracy"}
"""The options of `release` behind the checks of answers."""
AT_LEAST = ("agreement", "accuracy", "speedup_vs_teacher")
TIMED = ("p90_latency_ms", "cold_start_ms", "speedup_vs_teacher")


@dataclass(frozen=True)
class Found:
    """What is known of one target; latency: None where it was not measured."""

    checks: tuple[Check, ...]
    evaluation: Evaluation | None
    latency: LatencyRecord | None
    screening: ScreeningRecord | None
    choice: ChoiceRecord | None


def levers(found: Found) -> Iterator[str]:
    for check in found.checks:
        if check.outcome is Outcome.PASS:
            continue
        if check.name == "reached":
            yield "reached: run again when it can be: what the others found is in the store"
        elif check.name == "candidate":
            yield from _of_candidates(found)
        else:
            yield from _of_limit(check, found)


def _of_limit(check: Check, found: Found) -> Iterator[str]:
    option = f"release.{DEMANDS[check.name]}" if check.name in DEMANDS else f"limits.{check.name}"
    if check.name == "ort_bytes":
        option = "limits.model_bytes"
    if check.observed is not None and check.interval is not None:
        passes = check.interval[0] if check.name in AT_LEAST else check.interval[1]
        limit = _on_the_safe_side(passes, up=check.name not in AT_LEAST)
        yield f"{check.name}: {option}: {limit} would pass with what was measured"
        if _keeps(check.observed, check):
            yield from _more_of_the_same(check, found)
        elif check.name in (*TIMED, "peak_rss_mb", "model_bytes", "ort_bytes"):
            factor = check.limit / check.observed if check.name in AT_LEAST else check.observed / check.limit
            yield f"{check.name}: by a factor of {factor:.2f}: a smaller student (width, depth), or another candidate"
    if check.name in DEMANDS and found.evaluation is not None:
        yield from _of_fp32(check, found.evaluation)
    if check.name == "model_bytes" and found.screening is not None:
        runs = [each for each in found.screening.candidates if not each.refused]
        smallest = min(runs, key=lambda each: each.size_bytes)
        yield f"model_bytes: the smallest candidate is {smallest.name} with {smallest.size_bytes:,} bytes"


def _keeps(value: float, check: Check) -> bool:
    return value >= check.limit if check.name in AT_LEAST else value <= check.limit


def _more_of_the_same(check: Check, found: Found) -> Iterator[str]:
    """What was seen keeps the limit, but its interval does not."""
    if check.name in TIMED and found.latency is not None:
        assert check.observed is not None
        assert check.interval is not None
        edge = check.interval[0] if check.name in AT_LEAST else check.interval[1]
        gap = abs(check.limit - check.observed)
        if gap > 0:  # intervals narrow with the root of the time
            seconds = math.ceil(found.latency.seconds * (abs(edge - check.observed) / gap) ** 2)
            yield (
                f"{check.name}: with this spread about measure.seconds: {seconds:,} would decide it "
                f"(it took {found.latency.seconds:.0f})"
            )
    elif check.name in DEMANDS and found.evaluation is not None:
        needed = fewest(_scaled(check, found.evaluation))
        if needed is not None:
            yield (
                f"{check.name}: with these shares of right answers about {needed:,} test samples would pass "
                f"(there are {found.evaluation.samples:,})"
            )


def _scaled(check: Check, evaluation: Evaluation) -> Callable[[int], bool]:
    """Whether so many samples, answered as these are, would keep the limit."""
    from edgekd.harness.scoring import drop_interval, wilson

    if check.name == "accuracy_drop":
        pair, total = evaluation.pair(evaluation.shipped, evaluation.reference), evaluation.samples
        lost, gained = pair.only_reference_right / total, pair.only_model_right / total
        return lambda samples: drop_interval(lost * samples, gained * samples, samples)[1] <= check.limit
    share = check.observed
    assert share is not None
    return lambda samples: wilson(math.floor(share * samples), samples)[0] >= check.limit


def _of_fp32(check: Check, evaluation: Evaluation) -> Iterator[str]:
    """Whether quantization is what costs too much."""
    if evaluation.shipped == FP32 or FP32 not in evaluation.models:
        yield f"{check.name}: that is the student in float32: train it longer, on more data, or make it wider"
        return
    model = evaluation.models[FP32]
    if check.name == "accuracy_drop":
        beside = (evaluation.reference, FP32)
        pair = next((each for each in evaluation.pairs if (each.reference, each.model) == beside), None)
        if pair is None:
            return
        value, (low, high) = pair.drop, pair.drop_interval
    elif check.name == "agreement":
        value, (low, high) = model.agreement / evaluation.samples, model.agreement_interval
    else:
        value, (low, high) = model.accuracy.value, model.accuracy_interval
    passes = _keeps(low if check.name in AT_LEAST else high, check)
    shown = f"{check.name}: fp32 has {value:.4g} [{low:.4g}, {high:.4g}]"
    if passes:
        yield f"{shown} and would pass: lower quantize.max_accuracy_drop, or list fp32 in quantize.candidates"
    else:
        yield f"{shown} and would not pass either: train the student longer, on more data, or make it wider"


def _of_candidates(found: Found) -> Iterator[str]:
    """No candidate may ship: what the least bad ones would need."""
    if found.screening is None or found.choice is None:
        return
    why = {each.name: each.why for each in found.choice.candidates}
    lost = [
        (each.against_fp32.drop, each)
        for each in found.screening.candidates
        if each.against_fp32 is not None and not each.refused and why.get(each.name, "").startswith("loses")
    ]
    if lost:
        drop, best = min(lost, key=lambda each: each[0])
        yield (
            f"candidate: quantize.max_accuracy_drop: {_on_the_safe_side(drop, up=True)} would let {best.name} ship "
            f"({best.size_bytes:,} bytes)"
        )
    if why.get(FP32, "").startswith("not asked for"):
        size = found.screening.candidate(FP32).size_bytes
        yield f"candidate: fp32 in quantize.candidates would ship without loss ({size:,} bytes)"


def _on_the_safe_side(value: float, *, up: bool) -> str:
    """Four digits, rounded to where the limit is surely kept."""
    if value == 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    rounded = (math.ceil if up else math.floor)(value / step) * step
    return f"{rounded:.4g}"
