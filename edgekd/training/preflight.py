"""What is looked at before anybody learns from a teacher: the usual mistakes cost a whole training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from edgekd.data.modalities.base import feeds_for
from edgekd.errors import ConfigError
from edgekd.training.evaluate import answered_at_once
from edgekd.training.layout import laid_out, tensors_of
from edgekd.training.lesson import Batch
from edgekd.training.loop import TrainingData
from edgekd.training.teachers import Teaching

LOOKED_AT = 1024
"""Validation samples that a teacher is asked about, evenly spaced."""


def accuracies(teachers: Mapping[str, Teaching], data: TrainingData) -> dict[str, float]:
    """How often each teacher is right on some of the validation samples, by name; 0 to 1."""
    rows = _looked_at(data)
    right = dict.fromkeys(teachers, 0)
    few = answered_at_once(data.contract)
    for part in (rows[start : start + few] for start in range(0, len(rows), few)):
        labels = torch.from_numpy(data.validation.labels[part])
        inputs = laid_out(tensors_of(feeds_for(data.contract, data.validation.samples[part])))
        batch = Batch(inputs, labels, part, view=0)
        for name, teaching in teachers.items():
            right[name] += int((teaching(batch, ()).logits.argmax(dim=1) == labels).sum())
    return {name: count / len(rows) for name, count in right.items()}


def refuse_useless(found: Mapping[str, float], data: TrainingData) -> None:
    """
    Raises:
        ConfigError: a teacher of this accuracy is not right more often than the largest class is common: it has the
            classes in another order, or was trained with another normalisation.
    """
    labels = data.validation.labels[_looked_at(data)]
    chance = float(np.bincount(labels).max() / len(labels))
    for name, accuracy in found.items():
        if accuracy <= chance:
            raise ConfigError(
                f"{name} is right on {accuracy:.2%} of {len(labels):,} validation samples, no more than an answer that "
                f"is always the same would be ({chance:.2%})",
                where=name,
                hint="are its classes in the order of the data, and its inputs normalised as in its own training?",
            )


def outgrown(found: Mapping[str, float], student: float, data: TrainingData) -> list[str]:
    """The teachers that the student has left behind by more than the noise of the samples that they were asked about;
    student: its accuracy on all of validation."""
    count = len(_looked_at(data))
    return [
        name
        for name, accuracy in found.items()
        if student - accuracy > 2 * math.sqrt(max(accuracy * (1 - accuracy), 1 / count) / count)
    ]


def _looked_at(data: TrainingData) -> NDArray[np.int64]:
    count = len(data.validation)
    return np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).astype(np.int64))
