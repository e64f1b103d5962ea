"""A stage that nobody reads stands before all that comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import JsonValue

from edgekd.errors import UsageError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import Node, Plan, forecast
from edgekd.pipeline.stage import Context, Stage
from edgekd.pipeline.store import Store
from edgekd.progress import Silent


@dataclass(frozen=True)
class Looks(Stage):
    """Makes nothing."""

    option: int = 0

    name = "looks"
    outputs = {}
    libraries = ()
    inputs = ("text",)
    apart = True

    def identity(self) -> JsonValue:
        return self.option

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        context.warn("it saw something")
        return "looked"


@dataclass(frozen=True)
class Makes(Stage):
    name = "makes"
    outputs = {"text": "text.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return None

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        context.output("text").write_text("a")
        return "made"


def plan(option: int = 0) -> Plan:
    nodes = (
        Node("first", Makes(), {}),
        Node("looks", Looks(option), {"text": ("first", "text")}),
        Node("last", Makes(), {}),
    )
    return Plan("p", 0, nodes)


def test_it_runs_before_what_is_asked_for_and_not_for_what_comes_before_it() -> None:
    assert plan().needed_for("last") == {"first", "looks", "last"}
    assert plan().needed_for("first") == {"first"}


def test_what_it_looks_at_decides_nothing_that_comes_after_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    Engine(store, Silent()).run(plan(), Selection())
    states = {each.node.id: each.record is not None for each in forecast(plan(1), store, Silent())}
    assert states == {"first": True, "looks": False, "last": True}
    found = Engine(store, Silent()).run(plan(1), Selection(start="last", until="last"))
    assert [(each.node.id, bool(each.why)) for each in found] == [("first", False), ("looks", True), ("last", False)]
    assert found[1].record.warnings == ("it saw something",)
    again = Engine(store, Silent()).run(plan(1), Selection())
    assert not any(each.why for each in again)


def test_everything_else_before_from_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="first comes before --from"):
        Engine(Store(tmp_path / "store"), Silent()).run(plan(), Selection(start="last"))
