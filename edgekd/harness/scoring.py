"""Accuracy on the host, from raw outputs: the device never sees labels. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekd.records.accuracy import Accuracy
from edgekd.records.evaluation import Evaluation, Interval, ModelEvaluation, Paired


def evaluate(
    target: str, logits: Mapping[str, NDArray[np.float32]], labels: NDArray[np.int64], classes: int
) -> Evaluation:
    """How right each model is; logits: float32 (N, classes) of each of teacher, student and int8, labels: (N,)."""
    answers = {name: each.argmax(axis=1) for name, each in logits.items()}
    right = {name: each == labels for name, each in answers.items()}
    models = {}
    for name, answer in answers.items():
        correct = count_correct(answer, labels, classes)
        agreement = int((answer == answers["teacher"]).sum())
        models[name] = ModelEvaluation(
            accuracy=correct,
            accuracy_interval=wilson(correct.correct, correct.total),
            agreement=agreement,
            agreement_interval=wilson(agreement, len(labels)),
            against_teacher=paired(right["teacher"], right[name]),
        )
    return Evaluation(
        target=target,
        images=len(labels),
        models=models,
        int8_against_student=paired(right["student"], right["int8"]),
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


def paired(reference: NDArray[np.bool_], model: NDArray[np.bool_], confidence: float = 0.95) -> Paired:
    """Who is right where; reference, model: (N,), whether each answer is right.

    The interval of the difference of paired proportions is the adjusted Wald interval with one pseudo-pair in
    each discordant cell. Source: Bonett and Price 2012, Journal of Educational and Behavioral Statistics 37(4),
    equation 2. The p-value is McNemar's exact test.
    """
    from scipy.stats import binomtest, norm

    total = len(reference)
    lost = int((reference & ~model).sum())
    gained = int((~reference & model).sum())
    p_lost, p_gained = (lost + 1) / (total + 2), (gained + 1) / (total + 2)
    half = float(norm.ppf(0.5 + confidence / 2)) * ((p_lost + p_gained - (p_lost - p_gained) ** 2) / (total + 2)) ** 0.5
    middle = p_lost - p_gained
    same = lost + gained == 0
    return Paired(
        both_right=int((reference & model).sum()),
        only_reference_right=lost,
        only_model_right=gained,
        both_wrong=int((~reference & ~model).sum()),
        drop=(lost - gained) / total,
        drop_interval=(max(-1.0, middle - half), min(1.0, middle + half)),
        p_value=1.0 if same else float(binomtest(lost, lost + gained).pvalue),
    )
