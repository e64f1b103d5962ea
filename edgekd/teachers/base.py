"""What every given teacher does: it answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekd.config.component import Component
from edgekd.config.normalisation import Normalisation
from edgekd.data.modalities.base import Feeds
from edgekd.errors import ConfigError
from edgekd.records.contract import ModelContract

Answerer = Callable[[Feeds], NDArray[np.float32]]
"""From inputs (N, ...) by name to logits float32 (N, classes)."""


class Teacher(Component):
    """A network of `networks:` (or the teacher) that is `given:` instead of trained."""

    @property
    def model_file(self) -> Path | None:
        """Its ONNX file, where it is one: what is measured and validated as the reference."""
        return None

    @property
    def normalisation(self) -> Normalisation | None:
        """What that file wants of its input, where it is not what the data says."""
        return None

    @abstractmethod
    def open(self, contract: ModelContract) -> Answerer:
        """What answers for it.

        Raises:
            ConfigError: it cannot be used, or does not fit the contract.
        """


def checked_logits(answer: object, samples: int, classes: int, whose: str) -> NDArray[np.float32]:
    """The answer, or what it has as `.logits` (as those of transformers have), as logits float32 (N, classes).

    Probabilities are refused: softened by a temperature as if they were logits, they teach almost nothing.

    Raises:
        ConfigError: it is something else, and what.
    """
    try:
        given = np.asarray(getattr(answer, "logits", answer))
    except Exception as error:  # whatever the answer's own conversion raises
        raise ConfigError(
            f"{whose} answered with {type(answer).__name__}, which is no array: {str(error).partition(chr(10))[0]}",
            hint="return an array (N, classes); of a torch tensor `answer.detach().numpy()`",
        ) from error
    if given.dtype.kind not in "fiu" or given.shape != (samples, classes):
        raise ConfigError(
            f"{whose} answered {samples} samples with {given.dtype} {given.shape}, "
            f"expected logits of shape {(samples, classes)}",
            hint="one logit a class, in the order of the classes",
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        logits = given.astype(np.float32)
    if not np.isfinite(logits).all():
        raise ConfigError(
            f"{whose} answered with a number that is not finite",
            hint="logits must be finite; of a probability p take log(max(p, 1e-7))",
        )
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        raise ConfigError(
            f"{whose} answers with probabilities, expected logits",
            hint="take the output before the softmax, or the logarithm: log(max(p, 1e-7))",
        )
    return logits
