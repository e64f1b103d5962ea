from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from edgekd.data.samples import Split
from edgekd.errors import ConfigError
from edgekd.records.contract import InputSpec, ModelContract
from edgekd.training.lesson import Answers, Batch
from edgekd.training.loop import TrainingData
from edgekd.training.preflight import LOOKED_AT, accuracies, outgrown, refuse_useless
from edgekd.training.workers import ALONE, Workers

COUNT = 3000
LABELS = np.random.default_rng(0).integers(0, 4, COUNT)
CONTRACT = ModelContract(
    modality="vector",
    inputs=(InputSpec(name="x", shape=(4,), preprocessing={"mean": [0.0] * 4, "std": [1.0] * 4}),),
    classes=("a", "b", "c", "d"),
)
SAMPLES = np.eye(4, dtype=np.float32)[LABELS]
DATA = TrainingData(Split(SAMPLES, LABELS), Split(SAMPLES, LABELS), CONTRACT)


class Reading:
    """A teacher that sees the class in the sample and names another one, as `order` has it."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = list(order)
        self.asked = 0

    def __call__(self, batch: Batch, taps: Sequence[str], workers: Workers = ALONE) -> Answers:
        self.asked += len(batch.rows)
        (samples,) = batch.inputs.values()
        return Answers(samples[:, self.order])


def test_accuracy_is_looked_at_on_some_samples_spread_over_all() -> None:
    good, other = Reading([0, 1, 2, 3]), Reading([1, 0, 2, 3])
    found = accuracies({"good": good, "other": other}, DATA)
    assert found["good"] == 1.0
    assert found["other"] == pytest.approx((LABELS >= 2).mean(), abs=0.05)
    assert good.asked == LOOKED_AT


def test_a_teacher_with_its_classes_in_another_order_is_refused_by_name() -> None:
    found = accuracies({"good": Reading([0, 1, 2, 3]), "turned": Reading([1, 2, 3, 0])}, DATA)
    with pytest.raises(ConfigError, match=r"turned is right on 0.00% of 1,024 validation samples") as refused:
        refuse_useless(found, DATA)
    assert refused.value.where == "turned"
    refuse_useless({"good": found["good"]}, DATA)


def test_a_student_has_outgrown_a_teacher_only_beyond_the_noise_of_the_samples() -> None:
    noise = float(torch.tensor(0.9 * 0.1 / LOOKED_AT).sqrt())
    assert outgrown({"a": 0.9}, 0.9 + 1.5 * noise, DATA) == []
    assert outgrown({"a": 0.9, "b": 0.99}, 0.9 + 2.5 * noise, DATA) == ["a"]
