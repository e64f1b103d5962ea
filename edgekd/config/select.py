"""What of `distill` is tried out on validation samples, and for how long."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from edgekd.config.section import Section

FIXED = frozenset({"from", "transfer", "control", "select", "epochs", "device", "precision", "shards"})
"""Keys of `distill` that are not tried out: the budget, who teaches, and what computes."""

SHARE = (3 - 5**0.5) / 2  # of a range: what lies there is no whole number where both ends are


class Range(Section):
    """Numbers from `low` to `high`."""

    low: float = Field(allow_inf_nan=False, description="smallest")
    high: float = Field(allow_inf_nan=False, description="largest")
    log: bool = Field(False, description="evenly by their logarithm: a factor counts the same at every size")
    step: float | None = Field(None, gt=0, allow_inf_nan=False, description="only low, low + step, ...")

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low is not smaller than high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("by the logarithm it begins above 0 and has no step")
        return self

    @property
    def examples(self) -> list[float]:
        """Both ends, and without a step a number between them as it is drawn: for a key that takes whole numbers alone
        it cannot be."""
        if self.step is not None:
            return [self.low, self.high]
        between = self.low * (self.high / self.low) ** SHARE if self.log else self.low + (self.high - self.low) * SHARE
        return [self.low, self.high, between]


Choices = Annotated[list[JsonValue], Field(min_length=1)]


class SelectSection(Section):
    """Settings of `distill` by their keys below it, such as `temperature` or `losses.1.weight`: for each a list of
    values, or a range. What is right most often on the validation samples is taken."""

    space: dict[str, Range | Choices] = Field(min_length=1, description="what is tried for each setting")
    trials: int = Field(20, ge=1, le=100_000, description="how many students are trained at most")
    epochs: int | None = Field(None, ge=1, description="passes of each of them; by default those of `distill`")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="of training, after which no further one is begun"
    )

    @model_validator(mode="after")
    def _may_be_tried(self) -> Self:
        for key in self.space:
            head = key.partition(".")[0]
            if head in FIXED:
                raise ValueError(f"space: {key} cannot be tried out\nthe same for all are {', '.join(sorted(FIXED))}")
        return self

    def examples(self) -> Iterator[tuple[str, int, JsonValue]]:
        """Every listed value and the examples of every range, with its key and its place."""
        for key, values in self.space.items():
            for place, value in enumerate(values.examples if isinstance(values, Range) else values):
                yield key, place, value

    @property
    def combinations(self) -> float:
        """How many different students there are; infinite with a range."""
        return math.prod(math.inf if isinstance(each, Range) else len(each) for each in self.space.values())
