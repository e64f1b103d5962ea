"""The networks of a pipeline, each with everything that decides how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.config.training import TrainingOptions
from edgekd.models.base import Model
from edgekd.teachers.base import Teacher
from edgekd.training.losses.base import Loss


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that is trained or loaded here. section: what the file calls its training (`distill`, `teacher`);
    sources: the networks that it learns from."""

    name: str
    section: str
    model: Model
    options: TrainingOptions | None
    losses: tuple[Loss, ...]
    sources: tuple[str, ...]
    checkpoint: Path | None = None
    min_accuracy: float = 0.0


@dataclass(frozen=True)
class GivenNetwork:
    """A network that comes from elsewhere and only answers."""

    name: str
    teacher: Teacher


Network = TrainedNetwork | GivenNetwork
