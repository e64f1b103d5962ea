"""The gate's rules against a previous release: no slower, no bigger, no worse. Pure functions."""

from __future__ import annotations

import math
from typing import NamedTuple

from edgekd.records.bundle import Manifest
from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import ModelEvaluation
from edgekd.records.latency import Comparison, ModelLatency
from edgekd.release.gate import MORE_SAMPLES, MORE_TIME, at_most


class _Shipped(NamedTuple):
    sha256: str
    evaluation: ModelEvaluation


def latency(pair: Comparison, margin: float) -> Check:
    """`pair` is the model against the previous release: its time may be larger by the margin."""
    return at_most("latency_vs_baseline", 1 + margin, pair.ratio, pair.interval, MORE_TIME)


def size(model: ModelLatency, baseline: ModelLatency, margin: float) -> Check:
    """The file may be larger by the margin: a name or a version in it is no regression."""
    ratio = model.size_bytes / baseline.size_bytes
    return at_most("bytes_vs_baseline", 1 + margin, ratio, (ratio, ratio), "")


def accuracy(manifest: Manifest, previous: Manifest, allowed: float) -> Check:
    """What the two bundles say about their accuracy, which may be lower by `allowed`.

    It is that of the model on the first target that has any evidence. The releases' answers to each sample are not in
    their bundles, so the counts are compared as if the samples were different ones, which can only widen the interval.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.
    """
    name = "accuracy_vs_baseline"
    new, old = _evidence(manifest), _evidence(previous)
    if new is None or old is None:
        return _unknown(name, allowed, "a bundle without evidence of its accuracy")
    if manifest.source.data != previous.source.data:
        return _unknown(name, allowed, "the two were evaluated on different data")
    before, after = old.evaluation, new.evaluation
    drop = before.accuracy.value - after.accuracy.value
    low = drop - math.hypot(
        before.accuracy.value - before.accuracy_interval[0], after.accuracy_interval[1] - after.accuracy.value
    )
    high = drop + math.hypot(
        before.accuracy_interval[1] - before.accuracy.value, after.accuracy.value - after.accuracy_interval[0]
    )
    if new.sha256 == old.sha256:
        drop = low = high = 0.0
    return at_most(name, allowed, drop, (low, high), MORE_SAMPLES)


def _evidence(manifest: Manifest) -> _Shipped | None:
    for each in manifest.targets.values():
        if each.accuracy is not None:
            sha256 = manifest.models[each.model].facts.sha256
            return _Shipped(sha256, each.accuracy.models[each.accuracy.shipped])
    return None


def _unknown(name: str, limit: float, why: str) -> Check:
    return Check(name=name, limit=limit, observed=None, interval=None, outcome=Outcome.UNDECIDED, why=why)
