from __future__ import annotations

import pytest

from edgekd.config.pipeline import ReleaseSection
from edgekd.config.target import Limits
from edgekd.records.check import Check, Outcome, verdict
from edgekd.records.latency import Comparison, Estimate, ModelLatency, Percentile, Speed
from edgekd.records.model import ModelFacts
from edgekd.records.optimised import OrtFile
from edgekd.release.gate import accuracy_checks, at_least, at_most, cost_checks, no_candidate, ort_checks, size_checks

from .conftest import evaluation


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.001, 0.004), Outcome.PASS),
        ((0.001, 0.005), Outcome.PASS),
        ((0.004, 0.006), Outcome.UNDECIDED),
        ((0.005, 0.006), Outcome.UNDECIDED),
        ((0.0051, 0.006), Outcome.FAIL),
        (None, Outcome.UNDECIDED),
    ],
)
def test_at_most_passes_only_when_the_whole_interval_keeps_the_limit(
    interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    assert at_most("drop", 0.005, 0.004, interval, "more").outcome is outcome


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((2.0, 3.0), Outcome.PASS),
        ((1.9, 3.0), Outcome.UNDECIDED),
        ((1.0, 2.0), Outcome.UNDECIDED),
        ((1.0, 1.99), Outcome.FAIL),
        (None, Outcome.UNDECIDED),
    ],
)
def test_at_least_passes_only_when_the_whole_interval_keeps_the_limit(
    interval: tuple[float, float] | None, outcome: Outcome
) -> None:
    assert at_least("speedup", 2.0, 2.5, interval, "more").outcome is outcome


def test_an_undecided_check_says_what_would_decide_it() -> None:
    assert at_most("drop", 0.005, 0.004, (0.001, 0.009), "more test samples would decide").why == (
        "the interval holds the limit; more test samples would decide"
    )


def test_the_verdict_is_the_worst_outcome() -> None:
    def check(outcome: Outcome) -> Check:
        return Check(name="x", limit=1, observed=1, interval=None, outcome=outcome, why="")

    good, bad, open_ = check(Outcome.PASS), check(Outcome.FAIL), check(Outcome.UNDECIDED)
    assert verdict((good, good)) is Outcome.PASS
    assert verdict((good, open_)) is Outcome.UNDECIDED
    assert verdict((open_, bad, good)) is Outcome.FAIL
    assert verdict(()) is Outcome.PASS


def outcomes(checks: tuple[Check, ...]) -> dict[str, tuple[float | None, Outcome]]:
    return {check.name: (check.observed, check.outcome) for check in checks}


@pytest.mark.parametrize("shipped", ["fp32", "int8_weights"])
def test_what_ships_is_held_to_the_limits_of_accuracy_against_the_reference(shipped: str) -> None:
    section = ReleaseSection(max_accuracy_drop=0.05, min_agreement=0.93, min_accuracy=0.97)

    # 91 of 100 right within 84 to 96 %; against the teacher a drop of 2 points within -1 to 5; 95 answers agree
    assert outcomes(accuracy_checks(section, evaluation(shipped))) == {
        "accuracy_drop": (0.02, Outcome.PASS),
        "agreement": (0.95, Outcome.UNDECIDED),
        "accuracy": (0.91, Outcome.FAIL),
    }


def test_only_limits_that_are_given_are_checked() -> None:
    assert accuracy_checks(ReleaseSection(), evaluation()) == ()
    assert cost_checks(Limits(), latency(), comparison(), facts(1000)) == ()


def facts(size: int) -> ModelFacts:
    return ModelFacts(
        sha256="0" * 64, size_bytes=size, parameters=1, opset=18, ir_version=8, runtime=None, inputs=(), outputs=(),
        operators={},
    )  # fmt: skip


def latency() -> ModelLatency:
    def estimate(value: float) -> Estimate:
        return Estimate(value=value, interval=(0.9 * value, 1.1 * value), count=9)

    return ModelLatency(
        name="fp32", sha256="0" * 64, size_bytes=1, loads=12, processes=3, inferences=5000, samples=4000, warmup=900,
        settling=100, load_spread=0.01, throughput_per_s=estimate(1), session_load_s=estimate(1),
        first_inference_s=estimate(1), cold_start_s=estimate(0.1), peak_rss_bytes=60_000_000, runtime_rss_bytes=None,
        percentiles=(Percentile(share=0.9, value_s=41e-6, interval_s=(40e-6, 43e-6), method="loads"),),
    )  # fmt: skip


def comparison() -> Comparison:
    return Comparison(
        model="fp32", baseline="teacher", ratio=0.1, interval=(0.08, 0.125), margin=0.03, outcome=Speed.FASTER, pairs=12
    )


def test_what_ships_is_held_to_the_limits_of_the_target() -> None:
    limits = Limits(p90_latency_ms=0.042, model_bytes=999, peak_rss_mb=61, cold_start_ms=89, speedup_vs_teacher=8)
    checks = cost_checks(limits, latency(), comparison(), facts(1000))

    assert [check.name for check in checks] == [
        "model_bytes", "p90_latency_ms", "speedup_vs_teacher", "cold_start_ms", "peak_rss_mb",
    ]  # fmt: skip
    assert [check.outcome for check in checks] == [
        Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS, Outcome.FAIL, Outcome.PASS,
    ]  # fmt: skip
    assert [check.observed for check in checks] == pytest.approx([1000, 0.041, 10, 100, 60])
    assert size_checks(limits, facts(1000)) == checks[:1]


def test_without_a_reference_there_is_no_check_against_it() -> None:
    assert cost_checks(Limits(speedup_vs_teacher=8), latency(), None, facts(1000)) == ()


def test_a_target_without_a_candidate_fails_and_says_why() -> None:
    assert no_candidate("int8_qdq loses 2.00 points of accuracy") == Check(
        name="candidate",
        limit=1.0,
        observed=0.0,
        interval=(0.0, 0.0),
        outcome=Outcome.FAIL,
        why="int8_qdq loses 2.00 points of accuracy",
    )


def test_the_ort_file_has_to_keep_the_limit_on_bytes_too() -> None:
    file = OrtFile(sha256="ab" * 32, size_bytes=4000, largest_difference=0.0, blocked=False)
    (check,) = ort_checks(Limits(model_bytes=2000), file)
    assert (check.name, check.outcome, check.observed) == ("ort_bytes", Outcome.FAIL, 4000)
    (check,) = ort_checks(Limits(model_bytes=4000), file)
    assert check.outcome is Outcome.PASS
    assert ort_checks(Limits(), file) == ort_checks(Limits(model_bytes=1), None) == ()
