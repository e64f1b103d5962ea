"""How right the shipped files are on the test images of one target, and how they compare with the teacher."""

from __future__ import annotations

from edgekd.records.accuracy import Accuracy
from edgekd.records.base import Record

Interval = tuple[float, float]


class Paired(Record):
    """Two models on the same images, counted pair by pair; `drop` is the reference's accuracy minus the model's."""

    both_right: int
    only_reference_right: int
    only_model_right: int
    both_wrong: int
    drop: float
    drop_interval: Interval
    p_value: float


class ModelEvaluation(Record):
    """`agreement` counts the images that get the teacher's answer; intervals are 95 %."""

    accuracy: Accuracy
    accuracy_interval: Interval
    agreement: int
    agreement_interval: Interval
    against_teacher: Paired


class Evaluation(Record):
    target: str
    images: int
    models: dict[str, ModelEvaluation]
    int8_against_student: Paired
