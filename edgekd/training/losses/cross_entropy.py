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
    """Cross-entropy of the student's probabilities with the labels; of mixed samples, with both by their share."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all classes")

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        from torch.nn import functional

        entropy = functools.partial(functional.cross_entropy, label_smoothing=self.label_smoothing, reduction="none")

        def term(lesson: Lesson) -> Tensor:
            return lesson.batch.by_label(lambda labels: entropy(lesson.student.logits, labels))

        return term
