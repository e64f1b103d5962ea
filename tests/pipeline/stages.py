"""Small real stages, to test the machine below the stages without any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from edgekd.errors import StageError
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context, Stage
from edgekd.records.base import Record


@dataclass(frozen=True)
class Number(Stage):
    """Writes its number and the seed."""

    value: int
    ran: list[str] = field(default_factory=list)

    name = "number"
    outputs = {"out": "number.txt"}
    libraries = ("numpy",)
    seeded = True

    def identity(self) -> JsonValue:
        return {"value": self.value}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        self.ran.append("number")
        context.output("out").write_text(f"{self.value} {context.seed}")
        return f"number {self.value}"


@dataclass(frozen=True)
class Parity(Stage):
    """Writes whether the number is even: the same bytes for many numbers."""

    ran: list[str] = field(default_factory=list)
    before: Callable[[Context], None] = lambda _context: None
    refuse: bool = False

    name = "parity"
    inputs = ("number",)
    outputs = {"out": "parity.txt", "extra": "extra.txt"}
    optional = frozenset({"extra"})
    libraries = ("numpy",)

    def identity(self) -> JsonValue:
        return {}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        self.ran.append("parity")
        self.before(context)
        value = int(inputs["number"].read_text().split()[0])
        context.output("out").write_text("even" if value % 2 == 0 else "odd")
        return "parity"

    def accept(self, outputs: Mapping[str, Path]) -> None:
        if self.refuse and outputs["out"].read_text() == "odd":
            raise StageError("odd numbers are not good enough")


@dataclass(frozen=True)
class Shout(Stage):
    ran: list[str] = field(default_factory=list)

    name = "shout"
    inputs = ("word",)
    outputs = {"out": "shout.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return {}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        self.ran.append("shout")
        context.output("out").write_text(inputs["word"].read_text().upper())
        return "shout"


class Length(Record):
    """Of a word, in letters."""

    letters: int


@dataclass(frozen=True)
class Measure(Stage):
    """Writes the length of a word, in letters or in parts of one, as a record of `kind`."""

    kind: type[Record] = Length
    parts: int = 1

    name = "measure"
    inputs = ("word",)
    outputs = {"length": "length.json", "raw": "raw.txt"}
    libraries = ()

    @property
    def records(self) -> Mapping[str, type[Record]]:
        return {"length": self.kind}

    def identity(self) -> JsonValue:
        return {}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        letters = len(inputs["word"].read_text()) * self.parts
        context.output("length").write_text(f'{{"letters": {letters}}}')
        context.output("raw").write_text(str(letters))
        return f"{letters} letters"


def measured(measure: Measure) -> Plan:
    """The length of the word "odd"."""
    return Plan(
        "measured",
        0,
        (
            Node("number", Number(3), {}),
            Node("parity", Parity(), {"number": ("number", "out")}),
            Node("measure", measure, {"word": ("parity", "out")}),
        ),
    )


def chain(
    number: Number, parity: Parity, shout: Shout, *, seed: int = 0, name: str = "chain", origin: str = ""
) -> Plan:
    return Plan(
        name,
        seed,
        (
            Node("number", number, {}),
            Node("parity", parity, {"number": ("number", "out")}),
            Node("shout", shout, {"word": ("parity", "out")}),
        ),
        origin,
    )
