"""The networks of a pipeline, each with everything that decides how it is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from edgekd.config.networks import STUDENT, TEACHER
from edgekd.config.training import TrainingOptions
from edgekd.data.modalities.base import Feeds
from edgekd.errors import placed
from edgekd.models.base import Model
from edgekd.records.contract import ModelContract
from edgekd.teachers.base import Answerer, Teacher
from edgekd.training.initialisers.base import Initialiser
from edgekd.training.losses.base import Loss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def member_of(network: str, further: int) -> str:
    """What a network is called that is trained once more with a further seed; no name in a file has a dot."""
    return f"{network}.{further + 1}" if further else network


@dataclass(frozen=True)
class Peer:
    """A network that exists in the training of another one alone. section: where the file names it."""

    name: str
    section: str
    model: Model


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that is trained or loaded here. section: what the file calls its training (`distill`, `teacher`);
    sources: the networks that it learns from; peers: those that are trained together with it; start: what makes its
    weights of those of another one. further_seed: how much larger its seed is than the pipeline's. lender: the network
    whose classifier it ends in, where `model` is a `Reused`."""

    name: str
    section: str
    model: Model
    options: TrainingOptions | None
    losses: tuple[Loss, ...]
    sources: tuple[str, ...]
    checkpoint: Path | None = None
    start: Initialiser | None = None
    min_accuracy: float = 0.0
    further_seed: int = 0
    lender: str | None = None
    peers: tuple[Peer, ...] = ()

    @property
    def heard(self) -> tuple[str, ...]:
        """Everybody that a loss of it may listen to."""
        return (*self.sources, *(each.name for each in self.peers))

    @property
    def model_place(self) -> str:
        """Where the file has its architecture: the student's like have the student's."""
        own = self.section == TEACHER or self.section.startswith("networks.")
        return f"{self.section if own else STUDENT}.model"

    def again(self, further: int) -> TrainedNetwork:
        """The same, trained with a further seed."""
        return replace(self, name=member_of(self.name, further), further_seed=self.further_seed + further)


@dataclass(frozen=True)
class GivenNetwork:
    """A network that comes from elsewhere and only answers. section: where the file names it."""

    name: str
    section: str
    teacher: Teacher

    @property
    def _place(self) -> str:
        """Where the file names it, for errors that know no line of the user's own code."""
        return f"{self.section}.given"

    def identity(self) -> JsonValue:
        """What decides its answers, for fingerprints.

        Raises:
            ConfigError: what it is made of cannot be read.
        """
        with placed(self._place):
            return self.teacher.identity()

    def open(self, contract: ModelContract) -> Answerer:
        """What answers for it.

        Raises:
            ConfigError: it cannot be used, or does not fit the contract; so does what answers, when it cannot.
        """
        with placed(self._place):
            answerer = self.teacher.open(contract)

        def answer(feeds: Feeds) -> NDArray[np.float32]:
            with placed(self._place):
                return answerer(feeds)

        return answer


Network = TrainedNetwork | GivenNetwork
