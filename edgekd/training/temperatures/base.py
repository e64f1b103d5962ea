"""How softly outputs are compared, and how that changes while the student learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgekd.config.component import Component
from edgekd.training.losses.base import Loss, SoftenedLoss

if TYPE_CHECKING:
    from torch import Tensor

Schedule = Callable[[float], "float | Tensor"]
"""Progress (0 at the first step, 1 at the last) to the temperature; a tensor where it is learned."""


class Temperature(Component):
    """What divides the logits of both networks before they are compared."""

    @abstractmethod
    def build(self) -> Schedule:
        """The schedule; when it is an `nn.Module`, its parameters are trained with the student's and dropped."""


def with_temperature(losses: Sequence[Loss], default: Temperature) -> list[Loss]:
    """The terms, each softened one that has no temperature of its own with this one."""
    return [
        loss.model_copy(update={"temperature": default})
        if isinstance(loss, SoftenedLoss) and loss.temperature is None
        else loss
        for loss in losses
    ]
