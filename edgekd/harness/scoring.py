"""Accuracy on the host, from raw outputs: the device never sees labels. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgekd.records.accuracy import Accuracy
from edgekd.records.evaluation import Evaluation, Interval, ModelEvaluation, Paired
from edgekd.records.seeds import Gain


def evaluate(
    target: str,
    logits: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
    classes: int,
    *,
    reference: str,
    shipped: str,
    pairs: Sequence[tuple[str, str]],
) -> Evaluation:
    """How right each model is, and each pair (model, its reference) on the same samples.

    logits: float32 (N, classes) by the name of the model, labels: (N,); `reference` is what agreement is with,
    `shipped` the one that ships.
    """
    answers = {name: each.argmax(axis=1) for name, each in logits.items()}
    right = {name: each == labels for name, each in answers.items()}
    models = {}
    for name, answer in answers.items():
        correct = count_correct(answer, labels, classes)
        agreement = int((answer == answers[reference]).sum())
        models[name] = ModelEvaluation(
            accuracy=correct,
            accuracy_interval=wilson(correct.correct, correct.total),
            agreement=agreement,
            agreement_interval=wilson(agreement, len(labels)),
        )
    return Evaluation(
        target=target,
        samples=len(labels),
        reference=reference,
        shipped=shipped,
        models=models,
        pairs=tuple(paired(model, other, right[model], right[other]) for model, other in pairs),
    )


def count_correct(answers: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Accuracy:
    hits = labels[answers == labels]
    return Accuracy(
        correct=len(hits),
        total=len(labels),
        per_class_correct=tuple(np.bincount(hits, minlength=classes).tolist()),
        per_class_total=tuple(np.bincount(labels, minlength=classes).tolist()),
    )


def wilson(successes: int, total: int, confidence: float = 0.95) -> Interval:
    """The score interval of a proportion. Source: Wilson 1927; Brown, Cai and DasGupta 2001."""
    from scipy.stats import binomtest

    interval = binomtest(successes, total).proportion_ci(confidence, method="wilson")
    return (float(interval.low), float(interval.high))


def paired(
    model: str,
    reference: str,
    model_right: NDArray[np.bool_],
    reference_right: NDArray[np.bool_],
    confidence: float = 0.95,
) -> Paired:
    """Who of two models, by name, is right where; model_right, reference_right: (N,), whether each answer is right.

    The p-value is McNemar's exact test.
    """
    from scipy.stats import binomtest

    total = len(reference_right)
    lost = int((reference_right & ~model_right).sum())
    gained = int((~reference_right & model_right).sum())
    same = lost + gained == 0
    return Paired(
        model=model,
        reference=reference,
        both_right=int((reference_right & model_right).sum()),
        only_reference_right=lost,
        only_model_right=gained,
        both_wrong=int((~reference_right & ~model_right).sum()),
        drop=(lost - gained) / total,
        drop_interval=drop_interval(lost, gained, total, confidence),
        p_value=1.0 if same else float(binomtest(lost, lost + gained).pvalue),
    )


def drop_interval(lost: float, gained: float, total: float, confidence: float = 0.95) -> Interval:
    """The interval of (lost - gained) / total: of `total` samples the reference alone is right on `lost`, the model
    alone on `gained`.

    It is the adjusted Wald interval of the difference of paired proportions, with one pseudo-pair in each discordant
    cell. Source: Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37(4), equation 2.
    """
    from scipy.stats import norm

    p_lost, p_gained = (lost + 1) / (total + 2), (gained + 1) / (total + 2)
    half = float(norm.ppf(0.5 + confidence / 2)) * ((p_lost + p_gained - (p_lost - p_gained) ** 2) / (total + 2)) ** 0.5
    middle = p_lost - p_gained
    return (max(-1.0, middle - half), min(1.0, middle + half))


def gain_over_seeds(
    taught: Sequence[float], untaught: Sequence[float], *, step: float, confidence: float = 0.95
) -> Gain:
    """How far the first accuracies are ahead of the others, pair by pair: two trainings of the same seed are a pair.

    step: between two accuracies that can be told apart, 1 / samples. The interval and the p-value are Student's t of
    the differences, whose standard deviation is taken as no less than that of rounding to a step, step / sqrt(12): a
    few differences of so many samples may be the same by chance.

    Raises:
        ValueError: fewer than two pairs.
    """
    from scipy.stats import t

    ahead = np.subtract(taught, untaught)
    if len(ahead) < 2:
        raise ValueError("one training says nothing of how much the next one differs")
    mean, std = float(ahead.mean()), float(ahead.std(ddof=1))
    error = max(std, step / math.sqrt(12)) / math.sqrt(len(ahead))
    half = float(t.ppf((1 + confidence) / 2, len(ahead) - 1)) * error
    p_value = 2 * float(t.sf(abs(mean) / error, len(ahead) - 1))
    return Gain(mean=mean, std=std, interval=(mean - half, mean + half), p_value=p_value)
