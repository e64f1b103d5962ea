"""Entropy of the student's own probabilities: made small for unlabelled samples, or large against overconfidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Loss, Term

if TYPE_CHECKING:
    from torch import Tensor


class Entropy(Loss):
    """Entropy of the student's probabilities, the mean over the batch, made small; no label and no teacher is read.

    For samples without labels, beside a term that knows the classes: alone, it is smallest where all samples are of one
    class. It starts slowly, for where the probabilities are all the same its gradient is 0. The customary weight is 0.1
    to 1, and `warmup` leaves the first steps to the other terms.

    Source: Grandvalet and Bengio 2004, Semi-supervised Learning by Entropy Minimization.
    """

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        return lambda lesson: entropy(lesson.student.logits)


class ConfidencePenalty(Loss):
    """Minus the entropy of the student's probabilities, the mean over the batch: sure answers cost something.

    Beside cross-entropy, whose sum with it may be negative, by weight · log C at most. The customary weight is 0.1.

    Source: Pereyra et al. 2017, Regularizing Neural Networks by Penalizing Confident Output Distributions, section 3.
    """

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        def term(lesson: Lesson) -> Tensor:
            return -entropy(lesson.student.logits)

        return term


def entropy(logits: Tensor) -> Tensor:
    """-Σ p log p with p = softmax(z), in nats, the mean over the batch; logits: z, (N, C)."""
    from torch.nn import functional

    log_probabilities = functional.log_softmax(logits, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1).mean()
