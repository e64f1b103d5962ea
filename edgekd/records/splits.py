"""How a data set was divided, in numbers."""

from __future__ import annotations

from typing import ClassVar

from edgekd.records.base import Record

FEW = 10
"""Test samples of a class: all right, its accuracy may still be 72 % (95 % interval)."""
RARE_SHOWN = 5


class SplitsRecord(Record):
    """How many samples each split has; `noun`: what many samples are called; `labelled`: how many of the training
    samples have a label, None where all do.

    repeated: test samples that are training or validation samples too; alike: further ones that are almost one, of
    `compared` that were looked at for it. rare: by name the classes with few test samples, and how many (see `FEW`).
    """

    kept_as: ClassVar[str] = "splits"

    noun: str
    train: int
    validation: int
    test: int
    classes: int
    labelled: int | None = None
    repeated: int = 0
    alike: int = 0
    compared: int = 0
    rare: dict[str, int] = {}

    @property
    def training(self) -> str:
        """The training samples in words."""
        return f"{self.train:,} training" + ("" if self.labelled is None else f" ({self.labelled:,} labelled)")

    @property
    def doubts(self) -> tuple[str, ...]:
        """What speaks against the test samples as evidence, a sentence each."""
        told = []
        if self.repeated:
            told.append(
                f"{self.repeated:,} of {self.test:,} test {self.noun} are training {self.noun} too: that the model is "
                "right on them says nothing about new ones"
            )
        if self.alike:
            told.append(
                f"{self.alike:,} of {self.compared:,} test {self.noun} are almost equal to a training one (saved "
                "again, scaled, brighter or darker), and say less about new ones"
            )
        if self.rare:
            shown = ", ".join(f"{name} ({count})" for name, count in list(self.rare.items())[:RARE_SHOWN])
            more = f" and {len(self.rare) - RARE_SHOWN} more" if len(self.rare) > RARE_SHOWN else ""
            told.append(
                f"classes with fewer than {FEW} test {self.noun}, of which next to nothing is known: {shown}{more}"
            )
        return tuple(told)
