"""How right models are on the same samples, each by itself and in pairs."""

from __future__ import annotations

from typing import ClassVar, Literal

from edgekd.records.accuracy import Accuracy
from edgekd.records.base import Record

Interval = tuple[float, float]


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

    def pair(self, model: str, reference: str) -> Paired:
        return next(each for each in self.pairs if (each.model, each.reference) == (model, reference))
