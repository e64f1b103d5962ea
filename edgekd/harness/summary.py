"""From what was observed to the record: a pure function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.harness.disturbances import disturbances_of
from edgekd.harness.environment import environment_of
from edgekd.harness.observations import Observations
from edgekd.harness.samples import log_ratios
from edgekd.harness.statistics.location import Located, pseudomedian
from edgekd.harness.statistics.looks import outcome
from edgekd.harness.statistics.percentiles import percentile
from edgekd.records.latency import Comparison, Estimate, LatencyRecord, ModelLatency, Speed

SHARES = (0.5, 0.9, 0.99)


def summarise(observations: Observations) -> LatencyRecord:
    """The record of what has been observed so far, every interval at the error `level` of the latest look.

    Cold starts are made after the last look and looked at once: their intervals have the whole error to spend.
    """
    seen, measuring, loads = observations.seen, observations.measuring, observations.loads
    names = list(observations.models)
    comparisons = tuple(
        compare(
            model,
            baseline,
            log_ratios(loads, names.index(model), names.index(baseline)),
            measuring.margin,
            observations.level,
        )
        for model, baseline in observations.pairs
    )
    environment = environment_of(seen)
    undecided = [each for each in comparisons if each.outcome is Speed.UNDECIDED]
    return LatencyRecord(
        models=tuple(_model(observations, number, name) for number, name in enumerate(names)),
        comparisons=comparisons,
        confidence=measuring.confidence,
        level=observations.level,
        looks=observations.looks,
        seconds=observations.seconds,
        seed=observations.seed,
        overhead_s=float(np.median([each.inside_ns for each in seen.overheads])) / 1e9,
        decided=not undecided,
        would_decide=_would_decide(undecided, observations.seconds),
        environment=environment,
        disturbances=disturbances_of(environment, loads, names),
    )


def _model(observations: Observations, number: int, name: str) -> ModelLatency:
    facts, level = observations.models[name], observations.level
    loads = [load for load in observations.loads if load.model == number]
    cold = [each for each in observations.seen.cold if each.model == name]
    steady = [load.steady for load in loads]
    medians = np.array([np.median(load.steady) for load in loads])
    percentiles = [percentile(steady, share, level) for share in SHARES]
    alpha = 1 - observations.measuring.confidence
    return ModelLatency(
        name=name,
        sha256=facts.sha256,
        size_bytes=facts.size_bytes,
        session=facts.session,
        loads=len(loads),
        processes=len({load.process for load in loads}),
        inferences=int(sum(process.inferences[number] for process in observations.processes)),
        samples=sum(map(len, steady)),
        warmup=sum(load.warmup for load in loads),
        settling=sum(load.settling for load in loads),
        percentiles=tuple(each for each in percentiles if each is not None),
        load_spread=float(np.std(np.log(medians), ddof=1)) if len(loads) > 1 else None,
        throughput_per_s=estimate([1 / float(load.steady.mean()) for load in loads], level),
        session_load_s=estimate([load.load_s for load in loads], level),
        first_inference_s=estimate([load.first_s for load in loads], level),
        cold_start_s=estimate([each.cold_start_s for each in cold], alpha) if cold else None,
        peak_rss_bytes=max((each.peak_rss_bytes for each in cold), default=None),
        runtime_rss_bytes=min((each.runtime_rss_bytes for each in cold), default=None),
    )


def estimate(values: Sequence[float] | NDArray[np.float64], level: float) -> Estimate:
    """The centre of positive values, one for each load, with its interval."""
    located = pseudomedian(np.log(values), level, small=True)
    return Estimate(value=float(np.exp(located.value)), interval=_exp(located), count=len(values))


def compare(model: str, baseline: str, log_ratios: NDArray[np.float64], margin: float, level: float) -> Comparison:
    """A model against the baseline from the log ratios of their times, one for each set of loads."""
    located = pseudomedian(log_ratios, level, small=True)
    interval = _exp(located)
    return Comparison(
        model=model,
        baseline=baseline,
        ratio=float(np.exp(located.value)),
        interval=interval,
        margin=margin,
        outcome=outcome(interval, margin),
        pairs=len(log_ratios),
    )


def _exp(located: Located) -> tuple[float, float] | None:
    if located.interval is None:
        return None
    low, high = located.interval
    return float(np.exp(low)), float(np.exp(high))


def _would_decide(undecided: Sequence[Comparison], elapsed_s: float) -> str | None:
    """What more measuring would do; an interval's width falls with the square root of the time."""
    if not undecided:
        return None
    needed = 0.0
    for each in undecided:
        if each.interval is None:
            return f"{each.model} against {each.baseline} has {each.pairs} pairs of loads: give it more time"
        low, high = np.log(each.interval)
        half, wanted = (high - low) / 2, max(abs(np.log(each.ratio)), np.log1p(each.margin) - abs(np.log(each.ratio)))
        needed = max(needed, elapsed_s * float(half / max(wanted, 1e-6)) ** 2)
    names = ", ".join(dict.fromkeys(each.model for each in undecided))
    return f"about {max(needed, 1.5 * elapsed_s):.0f} s in all for {names}, or a quieter machine"
