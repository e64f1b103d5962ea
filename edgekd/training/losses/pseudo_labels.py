"""Hard targets: the class that the teacher names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgekd.errors import ConfigError
from edgekd.training.lesson import Answers, Batch, Lesson, Shapes
from edgekd.training.losses.base import TaughtLoss, Term

if TYPE_CHECKING:
    from torch import Tensor

    from edgekd.config.training import TrainingOptions


class PseudoLabels(TaughtLoss):
    """Cross-entropy of the student with the class that the teacher finds most probable, where it is sure enough.

    The customary weight is 1 (alone, or on unlabelled samples), 0.5 beside 0.5 of cross-entropy; the customary
    threshold for a teacher that errs is 0.95. `named_in: first_view` is FixMatch's use of a weak augmentation
    (`augment`) and a strong one (`second_view`).

    Source: Lee 2013, Pseudo-Label, equation 15; the threshold: Sohn et al. 2020, FixMatch, equation 4; without one, it
    is the hard distillation of Touvron et al. 2021, Training data-efficient image transformers, equation 3.
    """

    threshold: float = Field(
        0.0, ge=0, lt=1, description="the teacher's largest probability from which a sample counts; 0: all do"
    )
    named_in: Literal["own_view", "first_view"] = Field(
        "own_view",
        description="of a sample that is shown in two views (second_view): in which the teacher names its class; "
        "first_view: that of `augment`, for both",
    )

    def build(self, shapes: Shapes) -> Term:  # noqa: ARG002 - nothing in it has a size
        import torch

        def term(lesson: Lesson) -> Tensor:
            student = lesson.student.logits
            values = [
                pseudo_label_loss(student, self._named(answers, lesson.batch), self.threshold)
                for answers in self.heard(lesson).values()
            ]
            return torch.stack(values).mean()

        return term

    def check(self, options: TrainingOptions) -> None:
        if self.named_in == "own_view":
            return
        if options.second_view is None:
            raise ConfigError(
                "named_in: there is no second view to which a class named in the first could be carried",
                hint="set `second_view` beside `augment`, or leave `named_in` out",
            )
        if any(each.mixup or each.cutmix for each in (options.augment, options.second_view)):
            raise ConfigError(
                "named_in: mixup and cutmix make another sample of each view, of another class",
                hint="leave mixup and cutmix out of `augment` and `second_view`, or leave `named_in` out",
            )

    def _named(self, answers: Answers, batch: Batch) -> Tensor:
        """The teacher's logits (N, C) that name the class of each row."""
        if self.named_in == "own_view":
            return answers.logits
        return answers.logits[:: batch.looks].repeat_interleave(batch.looks, dim=0)


def pseudo_label_loss(student: Tensor, teacher: Tensor, threshold: float = 0.0) -> Tensor:
    """Σ [max p_t ≥ threshold] · -log p_s[argmax p_t] / N; student, teacher: logits (N, C).

    Divided by the batch size and not by the number of those that count, as in FixMatch: so a sample weighs the same
    whichever others are in its batch, one sure sample among many unsure ones does not move the student as a whole
    batch would, and a batch without any is worth 0.
    """
    from torch.nn import functional

    probability, label = functional.softmax(teacher, dim=1).max(dim=1)
    return ((probability >= threshold) * functional.cross_entropy(student, label, reduction="none")).mean()
