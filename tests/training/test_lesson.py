"""The mean over labels, as mixing and missing labels want it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import ConfigError
from edgekd.training.lesson import Batch, Mixed

LOGITS = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def entropy(labels: Tensor, logits: Tensor = LOGITS) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none")


def batch(labels: list[int], mixed: Mixed | None = None, labelled: float = 1.0) -> Batch:
    return Batch({}, torch.tensor(labels), np.arange(len(labels)), 0, mixed, labelled)


def test_with_every_label_it_is_the_mean() -> None:
    assert torch.allclose(
        batch([0, 1, 2, 3, 0, 1]).by_label(entropy), functional.cross_entropy(LOGITS, torch.tensor([0, 1, 2, 3, 0, 1]))
    )


def test_over_all_batches_it_is_the_mean_of_the_labelled_samples_however_they_are_spread() -> None:
    """Divided by their number in each batch, one alone in its batch would count for three."""
    labels = [0, -1, -1, 3, 1, 2]
    values = []
    for rows in ([0, 1, 2], [3, 4, 5]):
        part = batch([labels[row] for row in rows], labelled=4 / 6)
        values.append(float(part.by_label(functools.partial(entropy, logits=LOGITS[rows]))))
    known = [row for row, label in enumerate(labels) if label >= 0]
    expected = functional.cross_entropy(LOGITS[known], torch.tensor([labels[row] for row in known]))
    assert np.mean(values) == pytest.approx(float(expected))


def test_an_unlabelled_sample_has_no_gradient() -> None:
    logits = LOGITS.clone().requires_grad_()
    part = batch([0, -1, 2, -1, 1, 3], labelled=0.5)
    part.by_label(functools.partial(entropy, logits=logits)).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.any(dim=1).tolist() == [True, False, True, False, True, True]


def test_of_a_mixed_sample_each_label_that_there_is_counts_by_its_share() -> None:
    share = torch.tensor([0.75, 0.5, 1.0, 0.0, 0.25, 1.0], dtype=torch.float64)
    others = [1, -1, 2, 3, 0, 0]
    own = [0, 1, -1, -1, 2, 3]
    found = batch(own, Mixed(torch.tensor(others), share), labelled=0.5).by_label(entropy)
    expected = 0.0
    for row in range(6):
        for label, part in ((own[row], share[row]), (others[row], 1 - share[row])):
            if label >= 0:
                expected += float(part * -torch.log_softmax(LOGITS[row], 0)[label])
    assert float(found) == pytest.approx(expected / 6 / 0.5)


def test_without_any_label_it_says_so() -> None:
    with pytest.raises(ConfigError, match="no training sample has one"):
        batch([-1] * 6, labelled=0.0).by_label(entropy)
