"""Cross-entropy with one label and, of mixed samples, with two."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from edgekd.training.lesson import Lesson, Mixed

from .conftest import built, lesson, loss, tensor

OTHERS = torch.tensor([3, 3, 0])
SHARES = torch.tensor([0.25, 1.0, 0.0])


def mixed(share: Tensor = SHARES, student: Tensor | None = None) -> Lesson:
    once = lesson(student=student)
    return dataclasses.replace(once, batch=dataclasses.replace(once.batch, mixed=Mixed(OTHERS, share)))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_mixed_sample_has_both_labels_by_their_share(smoothing: float) -> None:
    logits, labels = tensor("S").numpy(), tensor("y").long().numpy()
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = 0.0
    for row, (own, other, share) in enumerate(zip(labels, OTHERS.tolist(), SHARES.tolist(), strict=True)):
        target = np.full(4, smoothing / 4)
        target[own] += (1 - smoothing) * share
        target[other] += (1 - smoothing) * (1 - share)
        expected -= float(target @ log_probabilities[row]) / 3
    term = built(loss("cross_entropy", label_smoothing=smoothing))
    assert float(term(mixed())) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_it_is_the_cross_entropy_with_the_mixed_target_and_has_its_gradient(smoothing: float) -> None:
    student = tensor("S").requires_grad_()
    share = torch.tensor([0.125, 0.5, 0.75])
    target = torch.zeros(3, 4, dtype=torch.float64)
    for row, own in enumerate(tensor("y").long()):
        target[row, own] += share[row]
        target[row, OTHERS[row]] += 1 - share[row]
    expected = functional.cross_entropy(student, target, label_smoothing=smoothing)
    found = built(loss("cross_entropy", label_smoothing=smoothing))(mixed(share, student))
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    one, other = (torch.autograd.grad(each, student)[0] for each in (found, expected))
    assert torch.allclose(one, other, atol=1e-12)


def test_the_own_label_alone_is_no_mixing() -> None:
    term = built(loss("cross_entropy", label_smoothing=0.1))
    assert float(term(mixed(torch.ones(3)))) == pytest.approx(float(term(lesson())), rel=1e-12)


def test_the_value_is_in_the_precision_of_the_answers() -> None:
    value = built(loss("cross_entropy"))(mixed(student=tensor("S").float()))
    assert value.dtype == torch.float32
    assert value.ndim == 0
