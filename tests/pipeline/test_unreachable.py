"""Several targets in one plan, some of which cannot be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import JsonValue

from edgekd.errors import TargetError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import Node, Plan, forecast
from edgekd.pipeline.stage import Context, Stage
from edgekd.pipeline.store import Store
from tests.conftest import Told

ALL = Selection()


@dataclass(frozen=True)
class Ask(Stage):
    """Writes a target's answer; `away`: it cannot be reached, `breaks`: it is lost on the way."""

    target: str
    away: bool = False
    breaks: bool = False
    ran: list[str] = field(default_factory=list)

    name = "ask"
    outputs = {"out": "out.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return {"target": self.target}

    def environment(self) -> dict[str, JsonValue]:
        if self.away:
            raise TargetError(f"{self.target}: no answer", hint="is it on?")
        return {"cpu": f"cpu of {self.target}"}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        self.ran.append(self.target)
        if self.breaks:
            raise TargetError(f"{self.target}: the connection broke")
        context.output("out").write_text(self.target)
        return self.target


@dataclass(frozen=True)
class Join(Stage):
    name = "join"
    outputs = {"out": "out.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return {}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        answers = " ".join(sorted(path.read_text() for path in inputs.values()))
        context.output("out").write_text(answers)
        return answers


def plan(*asked: Ask) -> Plan:
    """Each target is asked twice, then all answers are joined."""
    twice = [
        Node(f"{when}@{ask.target}", Ask(f"{when} {ask.target}", ask.away, ask.breaks, ask.ran), {}, target=ask.target)
        for when in ("first", "second")
        for ask in asked
    ]
    return Plan("p", 0, (*twice, Node("join", Join(), {node.id: (node.id, "out") for node in twice})))


def run(store: Store, wanted: Plan, told: Told | None = None) -> tuple[Engine, str]:
    engine = Engine(store, told or Told())
    return engine, engine.run(wanted, ALL)[-1].record.headline


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("lost", [Ask("b", away=True), Ask("b", breaks=True)])
def test_the_others_finish_without_a_target_that_is_lost(store: Store, told: Told, lost: Ask) -> None:
    engine, answers = run(store, plan(Ask("a"), lost, Ask("c")), told)
    assert answers == "first a first c second a second c"
    assert list(engine.unreachable) == ["b"]
    assert any("going on without b" in line for line in told.lines)


def test_a_lost_target_is_not_tried_again_in_the_same_run(store: Store) -> None:
    lost = Ask("b", breaks=True)
    run(store, plan(Ask("a"), lost))
    assert lost.ran == ["first b"]


def test_when_it_is_back_only_what_is_missing_runs(store: Store) -> None:
    run(store, plan(Ask("a"), Ask("b", away=True)))
    ran: list[str] = []
    _, answers = run(store, plan(Ask("a", ran=ran), Ask("b", ran=ran)))
    assert answers == "first a first b second a second b"
    assert ran == ["first b", "second b"]


def test_with_every_target_lost_nothing_can_be_decided(store: Store) -> None:
    with pytest.raises(TargetError, match="first b: no answer") as caught:
        run(store, plan(Ask("a", away=True), Ask("b", away=True)))
    assert caught.value.exit_code == 5


def test_the_plan_says_what_cannot_be_reached(store: Store) -> None:
    rows = {row.node.id: row.why for row in forecast(plan(Ask("a"), Ask("b", away=True)), store, Told())}
    assert rows["first@b"] == "first b: no answer"
    assert rows["first@a"] == "never run"
