"""The networks of a pipeline, each with everything that decides how it is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekd.config.training import TrainingOptions
from edgekd.errors import ConfigError
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher
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
    """A network that comes from elsewhere and only answers. section: where the file names it."""

    name: str
    section: str
    teacher: Teacher

    def open(self, contract: ModelContract) -> Answerer:
        """What answers for it.

        Raises:
            ConfigError: it cannot be used, or does not fit the contract.
        """
        try:
            return self.teacher.open(contract)
        except ConfigError as error:
            error.where = f"{self.section}.given"
            raise


Network = TrainedNetwork | GivenNetwork
