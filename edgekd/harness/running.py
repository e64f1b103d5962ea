"""The candidates that run on a target, and why others do not: one of them never ends the work of all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from edgekd.harness.conversation import ModelRefusedError
from edgekd.harness.subject import Subject
from edgekd.records.screening import FP32

Result = TypeVar("Result")


@dataclass
class Running:
    """The candidates that run there, and why the others, `refused`, do not."""

    subjects: dict[str, Subject]
    refused: dict[str, str] = field(default_factory=dict)

    def drop(self, error: ModelRefusedError) -> None:
        """
        Raises:
            ModelRefusedError: the same, if it is about no candidate that the others can do without.
        """
        if error.model == FP32 or error.model not in self.subjects:
            raise error
        self.refuse({error.model: str(error)})

    def refuse(self, reasons: Mapping[str, str]) -> None:
        for name in reasons:
            del self.subjects[name]
        self.refused.update(reasons)

    def together(self, work: Callable[[Mapping[str, Subject]], Result]) -> Result:
        """What `work` makes of all that run; it begins anew without one that it dies of."""
        while True:
            try:
                return work(self.subjects)
            except ModelRefusedError as error:
                self.drop(error)
