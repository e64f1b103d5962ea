"""How right models are on the same samples, each by itself and in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from edgekd.records.accuracy import Accuracy
from edgekd.records.base import Record

Interval = tuple[float, float]
CLASSES_SHOWN = 5


class Paired(Record):
    """Two models on the same samples, counted pair by pair; `drop` is the reference's accuracy minus the model's."""

    model: str
    reference: str
    both_right: int
    only_reference_right: int
    only_model_right: int
    both_wrong: int
    drop: float
    drop_interval: Interval
    p_value: float

    @property
    def verdict(self) -> Literal["better", "worse"] | None:
        """What the model is beside the reference; None where the interval holds zero, so that nothing can be shown."""
        low, high = self.drop_interval
        if high < 0:
            return "better"
        return "worse" if low > 0 else None


class ModelEvaluation(Record):
    """`agreement` counts the samples that get the reference's answer; intervals are 95 %."""

    accuracy: Accuracy
    accuracy_interval: Interval
    agreement: int
    agreement_interval: Interval


class Evaluation(Record):
    """The test split under one target's runtime. `models` by name: the reference (the teacher), `fp32` and whatever
    else was made of the student, `control.NAME` of the untaught one, `VARIANT.fp32`. `shipped` names what ships."""

    kept_as: ClassVar[str] = "evaluation"

    target: str
    samples: int
    reference: str
    shipped: str
    models: dict[str, ModelEvaluation]
    pairs: tuple[Paired, ...]

    def doubts(self, classes: Sequence[str]) -> tuple[str, ...]:
        """What speaks against the model that ships, and against the one that it learned from, a sentence each."""
        told = [
            line for name in dict.fromkeys((self.reference, self.shipped)) for line in self._at_chance(name, classes)
        ]
        counts = self.models[self.shipped].accuracy
        never = [
            f"{name} ({total})"
            for name, right, total in zip(classes, counts.per_class_correct, counts.per_class_total, strict=True)
            if total and not right
        ]
        if never:
            more = f" and {len(never) - CLASSES_SHOWN} more" if len(never) > CLASSES_SHOWN else ""
            told.append(
                f"{self.shipped} is never right on these classes (test samples): "
                f"{', '.join(never[:CLASSES_SHOWN])}{more}"
            )
        return tuple(told)

    def _at_chance(self, name: str, classes: Sequence[str]) -> Iterator[str]:
        """A model that is not surely right more often than an answer that is always the same."""
        model = self.models.get(name)
        if model is None:
            return
        largest = max(range(len(classes)), key=lambda number: model.accuracy.per_class_total[number])
        chance = model.accuracy.per_class_total[largest] / model.accuracy.total
        if model.accuracy_interval[0] <= chance:
            yield (
                f"{name} is right on {model.accuracy.value:.2%} of the test samples "
                f"[{model.accuracy_interval[0]:.2%}, {model.accuracy_interval[1]:.2%}], which may be chance: "
                f"always answering {classes[largest]} is right on {chance:.2%}"
            )

    def pair(self, model: str, reference: str) -> Paired:
        return next(each for each in self.pairs if (each.model, each.reference) == (model, reference))
