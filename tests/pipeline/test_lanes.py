"""Targets on different machines at once; those on one machine never."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import JsonValue

from edgekd.errors import StageError, TargetError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.lanes import LaneProgress, run_lanes
from edgekd.pipeline.plan import Node, Plan
from edgekd.pipeline.stage import Context, Stage
from edgekd.pipeline.store import Store
from edgekd.progress import Silent
from tests.conftest import Told

ALL = Selection()
PATIENCE_S = 20


@dataclass(frozen=True)
class Work(Stage):
    """Waits until as many as `together` are at work, and says how many it saw at most."""

    target: str
    together: threading.Barrier
    busy: list[str] = field(default_factory=list)
    error: Exception | None = None
    pause_s: float = 0.0

    name = "work"
    outputs = {"out": "out.txt"}
    libraries = ()

    def identity(self) -> JsonValue:
        return {"target": self.target}

    def run(self, context: Context, inputs: Mapping[str, Path]) -> str:
        self.busy.append(self.target)
        try:
            self.together.wait(PATIENCE_S)
            if self.error:
                raise self.error
            seen = len(self.busy)
            time.sleep(self.pause_s)
        finally:
            self.busy.remove(self.target)
        context.output("out").write_text(self.target)
        return f"{seen} at once"


def plan(*nodes: tuple[Work, str]) -> Plan:
    return Plan(
        "p", 0, tuple(Node(f"work@{w.target}", w, {}, target=w.target, machine=machine) for w, machine in nodes)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_different_machines_work_at_the_same_time(store: Store) -> None:
    barrier, busy = threading.Barrier(3), list[str]()
    wanted = plan(*((Work(name, barrier, busy, pause_s=0.2), name) for name in "abc"))
    finished = Engine(store, Told()).run(wanted, ALL)
    assert [each.node.id for each in finished] == ["work@a", "work@b", "work@c"], "in the order of the plan"
    assert finished[0].record.headline == "3 at once"
    assert all(not each.why for each in Engine(store, Told()).run(wanted, ALL)), "each result is kept"


def test_one_machine_does_one_thing_at_a_time(store: Store) -> None:
    alone, busy = threading.Barrier(1), list[str]()
    wanted = plan(*((Work(name, alone, busy, pause_s=0.1), "board:") for name in "abc"))
    finished = Engine(store, Told()).run(wanted, ALL)
    assert {each.record.headline for each in finished} == {"1 at once"}


def test_a_machine_that_is_lost_does_not_stop_the_others(store: Store, told: Told) -> None:
    barrier = threading.Barrier(3)
    lost = Work("b", barrier, error=TargetError("b: the connection broke"))
    engine = Engine(store, told)
    finished = engine.run(plan((Work("a", barrier), "a"), (lost, "b"), (Work("c", barrier), "c")), ALL)
    assert [each.node.target for each in finished] == ["a", "c"]
    assert list(engine.unreachable) == ["b"]


def test_with_every_machine_lost_the_run_fails(store: Store) -> None:
    barrier = threading.Barrier(2)
    works = [(Work(name, barrier, error=TargetError(f"{name}: no answer")), name) for name in "ab"]
    with pytest.raises(TargetError, match=r"[ab]: no answer"):
        Engine(store, Told()).run(plan(*works), ALL)


def test_a_failure_leaves_the_others_their_result(store: Store) -> None:
    barrier = threading.Barrier(2)
    wrong = Work("a", barrier, error=StageError("the runtime refuses it"))
    engine = Engine(store, Told())
    with pytest.raises(StageError, match="work@a: the runtime refuses it"):
        engine.run(plan((wrong, "a"), (Work("b", barrier, pause_s=0.3), "b")), ALL)
    assert [each.node.target for each in engine.finished] == ["b"]


def test_ctrl_c_ends_each_lane_at_its_next_step() -> None:
    steps: list[int] = []
    cleaned: list[int] = []
    both = threading.Barrier(3)

    def lane(number: int, stop: threading.Event) -> None:
        try:
            with LaneProgress(Silent(), f"t{number}", stop).task("work", 1000) as advance:
                both.wait(PATIENCE_S)
                for _ in range(1000):
                    time.sleep(0.02)
                    advance()
                    steps.append(number)
        finally:
            time.sleep(1 - number)  # the lane that is waited for first takes longest to clean up
            cleaned.append(number)

    def ctrl_c() -> None:
        both.wait(PATIENCE_S)
        time.sleep(0.1)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=ctrl_c).start()
    told = Told()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_lanes([lambda stop: lane(0, stop), lambda stop: lane(1, stop)], told)
    assert time.monotonic() - begun < 10
    assert 0 < len(steps) < 1000
    assert sorted(cleaned) == [0, 1]
    assert told.lines == ["stopping on every target; a second Ctrl-C does not wait for them"]


def test_a_lane_that_is_told_to_stop_starts_no_further_stage(store: Store) -> None:
    begun: list[str] = []
    alone = threading.Barrier(1)

    def interrupt() -> None:
        while not begun:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    works = [(Work(name, alone, begun, pause_s=0.5), machine) for name, machine in (("a", "x"), ("b", "y"), ("c", "x"))]
    engine = Engine(store, Told())
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        engine.run(plan(*works), ALL)
    assert "c" not in [each.node.target for each in engine.finished]


def test_a_lane_may_end_where_it_says_so_and_at_each_step() -> None:
    stop = threading.Event()
    outer = LaneProgress(Silent(), "outer", stop)
    lane = LaneProgress(outer, "a", threading.Event())
    lane.stop_point()
    with lane.task("work", 2) as advance:
        advance()
        stop.set()
        for point in (lane.stop_point, outer.stop_point, advance):
            with pytest.raises(KeyboardInterrupt):
                point()
    with pytest.raises(KeyboardInterrupt), outer.task("more", 1):
        pytest.fail("no task begins any more")


def test_a_lane_stops_while_it_waits_for_another_run(store: Store) -> None:
    stop = threading.Event()
    lane = LaneProgress(Silent(), "a", stop)
    threading.Timer(0.3, stop.set).start()
    other = Store(store.root)
    with other.stage_lock("work", "f" * 64, Silent()):
        caught: list[BaseException] = []

        def wait() -> None:
            try:
                with store.stage_lock("work", "f" * 64, lane):
                    pass
            except KeyboardInterrupt as error:
                caught.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(10)
        assert caught


def test_this_machine_measures_before_it_drives_the_others(store: Store) -> None:
    @dataclass(frozen=True)
    class Alone(Work):
        alone = True

    apart, busy = threading.Barrier(1), list[str]()
    wanted = plan(*((Alone(name, apart, busy, pause_s=0.1), name.replace("here", "")) for name in ("a", "here", "b")))
    finished = {each.node.target: each.record for each in Engine(store, Told()).run(wanted, ALL)}
    assert finished["here"].headline == "1 at once"
