"""Cross-entropy with the labels."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.training.lesson import Lesson, Shapes
from edgekd.training.losses.base import Loss, Term

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(Loss):
    """Cross-entropy of the student's probabilities with the labels; of mixed samples, with both labels by their share.

    Source: Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, section 2: cross-entropy is linear in the
    target, so that this is the cross-entropy with the mixed one.
    """

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all classes")

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        from torch.nn import functional

        entropy = functools.partial(functional.cross_entropy, label_smoothing=self.label_smoothing)

        def term(lesson: Lesson) -> Tensor:
            logits, labels, mixed = lesson.student.logits, lesson.batch.labels, lesson.batch.mixed
            if mixed is None:
                return entropy(logits, labels)
            own, other = (entropy(logits, each, reduction="none") for each in (labels, mixed.labels))
            return (mixed.share * own + (1 - mixed.share) * other).mean()

        return term
