"""The gate's rules against a previous release: no slower, no bigger, no worse."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekd.records.bundle import Manifest
from edgekd.records.check import Check, Outcome
from edgekd.records.evaluation import ModelEvaluation, Paired
from edgekd.records.latency import Comparison, ModelLatency
from edgekd.release.gate import MORE_SAMPLES, MORE_TIME, at_most
from edgekd.release.right import load_right

TEST = "test"


class Shown(NamedTuple):
    """What a bundle shows of the accuracy of one of its models. data: the digests of what it learned from and was
    evaluated on; right: (N,), the test samples that it answers as it should, if the bundle says which."""

    sha256: str
    data: Mapping[str, str]
    classes: tuple[str, ...]
    evaluation: ModelEvaluation
    right: NDArray[np.bool_] | None


def shown(folder: Path, manifest: Manifest, target: str) -> Shown | None:
    """Of the model that ships on a target, or on the bundle's first if it knows none of that name; from there, or from
    another target that takes the same model. None where the bundle says nothing of its accuracy.

    Raises:
        ConfigError: its counts and its answers differ.
    """
    first = target if target in manifest.targets else next(iter(manifest.targets))
    model = manifest.targets[first].model
    for each in (manifest.targets[first], *manifest.targets.values()):
        if each.model == model and each.accuracy is not None:
            return Shown(
                sha256=manifest.models[model].facts.sha256,
                data=manifest.source.data,
                classes=manifest.contract.classes,
                evaluation=each.accuracy.models[each.accuracy.shipped],
                right=load_right(folder, each),
            )
    return None


def latency(pair: Comparison, margin: float) -> Check:
    """`pair` is the model against the previous release: its time may be larger by the margin."""
    return at_most("latency_vs_baseline", 1 + margin, pair.ratio, pair.interval, MORE_TIME)


def size(model: ModelLatency, baseline: ModelLatency, margin: float) -> Check:
    """The file may be larger by the margin: a name or a version in it is no regression."""
    ratio = model.size_bytes / baseline.size_bytes
    return at_most("bytes_vs_baseline", 1 + margin, ratio, (ratio, ratio), "")


def same_samples(new: Shown, old: Shown) -> bool:
    """Whether two were evaluated on the same test samples, whatever they learned from. Bundles of before the digest of
    the test samples was kept are taken to be if both learned from the same."""
    every = (new.data, old.data)
    known = all(TEST in each for each in every)
    of_new, of_old = ({name: each[name] for name in each if (name == TEST) == known} for each in every)
    return of_new == of_old and new.classes == old.classes


def accuracy(new: Shown | None, old: Shown | None, allowed: float, pair: Paired | None) -> Check:
    """What the two bundles say about their accuracy, which may be lower by `allowed`.

    pair: the new one against the old one, sample by sample. Without it, for bundles that do not say which samples were
    right, the counts are compared as if the samples were different ones, which can only widen the interval.

    Source: Newcombe 1998, Interval estimation for the difference between independent proportions, method 10.
    """
    name = "accuracy_vs_baseline"
    if new is None or old is None:
        return _unknown(name, allowed, "a bundle without evidence of its accuracy")
    if new.sha256 == old.sha256:
        return at_most(name, allowed, 0.0, (0.0, 0.0), "")
    if not same_samples(new, old):
        return _unknown(name, allowed, "the two were evaluated on different test samples")
    if pair is not None:
        return at_most(name, allowed, pair.drop, pair.drop_interval, MORE_SAMPLES)
    before, after = old.evaluation, new.evaluation
    drop = before.accuracy.value - after.accuracy.value
    low = drop - math.hypot(
        before.accuracy.value - before.accuracy_interval[0], after.accuracy_interval[1] - after.accuracy.value
    )
    high = drop + math.hypot(
        before.accuracy_interval[1] - before.accuracy.value, after.accuracy.value - after.accuracy_interval[0]
    )
    return at_most(name, allowed, drop, (low, high), MORE_SAMPLES)


def _unknown(name: str, limit: float, why: str) -> Check:
    return Check(name=name, limit=limit, observed=None, interval=None, outcome=Outcome.UNDECIDED, why=why)
