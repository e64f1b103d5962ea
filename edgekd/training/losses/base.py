"""What every loss term gives: a function from what both networks said about a batch to one number."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from edgekd.config.component import Component

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """What a loss may look at; both networks saw the same augmented images.

    student: logits float32 (N, C), with gradient. teacher: the same of the teacher, without gradient; None
    when there is no teacher. labels: int64 (N,).
    """

    student: Tensor
    teacher: Tensor | None
    labels: Tensor


Term = Callable[[Batch], "Tensor"]
"""A `Batch` to a scalar, the mean over the batch."""


class Loss(Component):
    """One term of an objective: `weight` times the term's value.

    `temperature` falls back to the stage's own (`distill.temperature`) when a term takes one and sets none.
    """

    weight: float = Field(1.0, ge=0, allow_inf_nan=False, description="factor of this term in the sum")

    @abstractmethod
    def build(self, temperature: float) -> Term:
        """The term; when it is an `nn.Module`, its parameters are trained with the student's."""
