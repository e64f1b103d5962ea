"""What every dataset gives; where it looks for its files is in `config/paths.py`."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from edgekd.config.component import Component
from edgekd.data.samples import LabelledData
from edgekd.progress import Progress


def as_number(value: object) -> float | None:
    """A number, also where it is written as text, as YAML takes 2e-1; None of all else, and of a truth value."""
    try:
        return float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):  # no number, or a whole one that is too long
        return None


def _share_or_number(value: object) -> object:
    number = as_number(value)
    if number is None or not math.isfinite(number):
        raise PydanticCustomError("number", "expected a number")
    if abs(number) > 1 and not number.is_integer():
        raise PydanticCustomError("share", "expected a share (below 1) or a whole number")
    return value


Amount = Annotated[float | int, BeforeValidator(_share_or_number)]
"""A share (below 1) or a number; true is none, though pydantic would take it for 1."""


class Dataset(Component):
    """The base of every dataset; `validation` is split from its training part."""

    validation: Amount = Field(
        0.1, gt=0, description="share (below 1) or number of training samples kept for validation"
    )

    labelled: Amount | None = Field(
        None,
        ge=0,
        description="share (below 1) or number of the other training samples that keep their label, in each class its "
        "share. Networks without a teacher learn from these alone, and see each several times in an epoch, which takes "
        "as many steps as with all. By default all do",
    )

    if TYPE_CHECKING:  # an option of UserDataset, and pydantic wants no field in the place of a property

        @property
        def modality(self) -> str:
            """What kind of input the samples are: a name of MODALITIES."""

    @abstractmethod
    def load(self, progress: Progress) -> LabelledData:
        """The samples, in an order that does not depend on the machine; those that are large wait to be read."""
