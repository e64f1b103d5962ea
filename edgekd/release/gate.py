"""The gate's rules: limits and measurements in, checks out. Pure functions, no clock, no files.

A limit passes when the whole interval keeps it, fails when the whole interval breaks it, and is undecided when
the interval holds the limit: more data, not luck, decides a release.
"""

from __future__ import annotations

from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import Limits
from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import Evaluation
from edgekd.records.latency import Comparison, Interval, ModelLatency
from edgekd.records.model import ModelFacts
from edgekd.records.optimised import OrtFile

MORE_SAMPLES = "more test samples would decide"
MORE_TIME = "a longer measure.seconds or a quieter machine would decide"


def accuracy_checks(section: ReleaseSection, evaluation: Evaluation) -> tuple[Check, ...]:
    """What the pipeline demands of the answers of the model that ships on one target."""
    model = evaluation.models[evaluation.shipped]
    checks = []
    if section.max_accuracy_drop is not None:
        pair = evaluation.pair(evaluation.shipped, evaluation.reference)
        checks.append(at_most("accuracy_drop", section.max_accuracy_drop, pair.drop, pair.drop_interval, MORE_SAMPLES))
    if section.min_agreement is not None:
        observed = model.agreement / evaluation.samples
        checks.append(at_least("agreement", section.min_agreement, observed, model.agreement_interval, MORE_SAMPLES))
    if section.min_accuracy is not None:
        checks.append(
            at_least("accuracy", section.min_accuracy, model.accuracy.value, model.accuracy_interval, MORE_SAMPLES)
        )
    return tuple(checks)


def size_checks(limits: Limits, facts: ModelFacts) -> tuple[Check, ...]:
    """What one target demands of the shipped file alone."""
    if limits.model_bytes is None:
        return ()
    size = float(facts.size_bytes)
    return (at_most("model_bytes", limits.model_bytes, size, (size, size), ""),)


def ort_checks(limits: Limits, file: OrtFile | None) -> tuple[Check, ...]:
    """The same of the file in ONNX Runtime's own format, whose constants are folded already; none where there is
    none."""
    if limits.model_bytes is None or file is None:
        return ()
    size = float(file.size_bytes)
    return (at_most("ort_bytes", limits.model_bytes, size, (size, size), ""),)


def unreached() -> Check:
    """A target that could not be reached decides nothing, so it cannot pass."""
    return _undecided("reached", 1.0, None, "the target could not be reached", "run again when it can be")


def no_candidate(choice_why: str) -> Check:
    """A target on which no candidate may ship fails; `choice_why`: what was wrong with them."""
    return Check(name="candidate", limit=1.0, observed=0.0, interval=(0.0, 0.0), outcome=Outcome.FAIL, why=choice_why)


def cost_checks(
    limits: Limits, model: ModelLatency, against_reference: Comparison | None, facts: ModelFacts
) -> tuple[Check, ...]:
    """What one target demands of the latency, size and memory of the model that ships there.

    `against_reference`: its comparison with the teacher as baseline; without it there is no check of the speed-up.
    """
    checks = [*size_checks(limits, facts)]
    if limits.p90_latency_ms is not None:
        p90 = model.percentile(0.9)
        value = p90.value_s * 1e3 if p90 else None
        interval = (p90.interval_s[0] * 1e3, p90.interval_s[1] * 1e3) if p90 and p90.interval_s else None
        checks.append(at_most("p90_latency_ms", limits.p90_latency_ms, value, interval, MORE_TIME))
    if limits.speedup_vs_teacher is not None and against_reference is not None:
        observed, interval = against_reference.speedup, against_reference.speedup_interval
        checks.append(at_least("speedup_vs_teacher", limits.speedup_vs_teacher, observed, interval, MORE_TIME))
    if limits.cold_start_ms is not None:
        cold = model.cold_start_s
        interval = (cold.interval[0] * 1e3, cold.interval[1] * 1e3) if cold and cold.interval else None
        value = cold.value * 1e3 if cold else None
        checks.append(at_most("cold_start_ms", limits.cold_start_ms, value, interval, MORE_TIME))
    if limits.peak_rss_mb is not None:
        peak = None if model.peak_rss_bytes is None else model.peak_rss_bytes / 1e6
        checks.append(
            at_most("peak_rss_mb", limits.peak_rss_mb, peak, None if peak is None else (peak, peak), MORE_TIME)
        )
    return tuple(checks)


def at_most(name: str, limit: float, observed: float | None, interval: Interval | None, remedy: str) -> Check:
    """Passes when the interval lies at or below the limit."""
    if observed is None or interval is None:
        return _undecided(name, limit, observed, "too few measurements for an interval", remedy)
    if interval[1] <= limit:
        return _decided(name, limit, observed, interval, Outcome.PASS, "at most")
    if interval[0] > limit:
        return _decided(name, limit, observed, interval, Outcome.FAIL, "above")
    return _undecided(name, limit, observed, "the interval holds the limit", remedy, interval)


def at_least(name: str, limit: float, observed: float | None, interval: Interval | None, remedy: str) -> Check:
    """Passes when the interval lies at or above the limit."""
    if observed is None or interval is None:
        return _undecided(name, limit, observed, "too few measurements for an interval", remedy)
    if interval[0] >= limit:
        return _decided(name, limit, observed, interval, Outcome.PASS, "at least")
    if interval[1] < limit:
        return _decided(name, limit, observed, interval, Outcome.FAIL, "below")
    return _undecided(name, limit, observed, "the interval holds the limit", remedy, interval)


def _decided(name: str, limit: float, observed: float, interval: Interval, outcome: Outcome, relation: str) -> Check:
    return Check(
        name=name,
        limit=limit,
        observed=observed,
        interval=interval,
        outcome=outcome,
        why=f"{observed:.4g} is {relation} {limit:.4g}",
    )


def _undecided(
    name: str, limit: float, observed: float | None, what: str, remedy: str, interval: Interval | None = None
) -> Check:
    return Check(
        name=name,
        limit=limit,
        observed=observed,
        interval=interval,
        outcome=Outcome.UNDECIDED,
        why=f"{what}; {remedy}" if remedy else what,
    )
