from __future__ import annotations

from pathlib import Path
from typing import Self

import pytest
from pydantic import ValidationError, model_validator

from edgekd.errors import StageError, UsageError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.plan import Node, Plan, forecast
from edgekd.pipeline.stage import Context
from edgekd.pipeline.store import Store
from edgekd.records.base import Record
from tests.conftest import Told
from tests.pipeline.stages import Length, Measure, Number, Parity, Shout, chain, measured

ALL = Selection()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(store: Store, plan: Plan, selection: Selection = ALL) -> list[str]:
    """The ids of the nodes that ran."""
    return [each.node.id for each in Engine(store, Told()).run(plan, selection) if each.why]


def test_a_second_run_runs_nothing(store: Store) -> None:
    ran: list[str] = []
    plan = chain(Number(3, ran), Parity(ran), Shout(ran))
    assert run(store, plan) == ["number", "parity", "shout"]
    assert run(store, plan) == []
    assert ran == ["number", "parity", "shout"]


def test_a_changed_option_reruns_what_its_result_changes_and_no_more(store: Store) -> None:
    run(store, chain(Number(3), Parity(), Shout()))
    assert run(store, chain(Number(4), Parity(), Shout())) == ["number", "parity", "shout"]
    assert run(store, chain(Number(5), Parity(), Shout())) == ["number", "parity"], "5 is odd as 3 was"


def test_only_seeded_stages_depend_on_the_seed(store: Store) -> None:
    run(store, chain(Number(3), Parity(), Shout()))
    assert run(store, chain(Number(3), Parity(), Shout(), seed=1)) == ["number", "parity"]


def test_an_interrupted_stage_keeps_its_work_and_what_was_finished(store: Store) -> None:
    def interrupt(context: Context) -> None:
        (context.work / "checkpoint").write_text("epoch 3")
        raise KeyboardInterrupt

    seen: list[str] = []
    plan = chain(Number(3), Parity(before=interrupt), Shout())
    with pytest.raises(KeyboardInterrupt):
        run(store, plan)

    def look(context: Context) -> None:
        seen.append((context.work / "checkpoint").read_text())

    assert run(store, chain(Number(3), Parity(before=look), Shout())) == ["parity", "shout"]
    assert seen == ["epoch 3"]
    assert not list(store.work_folder.iterdir()), "a finished stage leaves no work folder"


def test_fresh_forgets_what_an_interrupted_run_left(store: Store) -> None:
    def leave(context: Context) -> None:
        assert not (context.work / "checkpoint").exists()
        (context.work / "checkpoint").write_text("half")
        raise StageError("no")

    plan = chain(Number(3), Parity(before=leave), Shout())
    for _ in range(2):
        with pytest.raises(StageError):
            run(store, plan, Selection(fresh=True))


def test_from_runs_the_rest_and_takes_what_is_before_from_the_store(store: Store) -> None:
    plan = chain(Number(3), Parity(), Shout())
    with pytest.raises(UsageError, match="number comes before --from, and its result is not in the store"):
        run(store, plan, Selection(start="parity"))
    run(store, plan)
    assert run(store, plan, Selection(start="parity")) == []
    assert run(store, plan, Selection(start="parity", fresh=True)) == ["parity", "shout"]


def test_until_stops_after_its_stage(store: Store) -> None:
    plan = chain(Number(3), Parity(), Shout())
    assert run(store, plan, Selection(until="parity")) == ["number", "parity"]
    with pytest.raises(UsageError, match="no stage 'partiy'"):
        run(store, plan, Selection(until="partiy"))
    with pytest.raises(UsageError, match="--from shout comes after --until number"):
        run(store, plan, Selection(start="shout", until="number"))


def test_a_result_that_is_not_good_enough_stops_the_run_but_is_kept(store: Store) -> None:
    ran: list[str] = []
    strict = chain(Number(3, ran), Parity(ran, refuse=True), Shout(ran))
    for _ in range(2):
        with pytest.raises(StageError, match="not good enough"):
            run(store, strict)
    run(store, chain(Number(3, ran), Parity(ran), Shout(ran)))
    assert ran == ["number", "parity", "shout"]


def test_a_damaged_blob_is_made_again_and_nothing_after_it(store: Store) -> None:
    plan = chain(Number(3), Parity(), Shout())
    finished = Engine(store, Told()).run(plan, ALL)
    blob = store.path(finished[0].record.outputs["out"])
    content = bytearray(blob.read_bytes())
    content[0] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    told = Told()
    again = Engine(store, told).run(plan, ALL)
    assert [each.node.id for each in again if each.why] == ["number"]
    assert "warning: number: out in the store is damaged; doing it again" in told.lines
    assert store.path(again[0].record.outputs["out"]).read_text() == "3 0"


@pytest.mark.parametrize("damage", ["", "{", "flip"])
def test_a_damaged_record_is_a_miss(store: Store, damage: str) -> None:
    plan = chain(Number(3), Parity(), Shout())
    run(store, plan)
    (record,) = (store.records_folder / "parity").glob("*.json")
    text = record.read_text()
    record.write_text(text.replace('"headline": "parity"', '"headline": "pariti"') if damage == "flip" else damage)
    assert record.read_text() != text
    assert run(store, plan) == ["parity"]


def test_the_forecast_names_what_changed(store: Store, told: Told) -> None:
    plan = chain(Number(3), Parity(), Shout())
    assert [each.why for each in forecast(plan, store, told)] == ["never run", "after number", "after parity"]
    run(store, plan)
    assert all(each.record for each in forecast(plan, store, told))
    changed = forecast(chain(Number(8), Parity(), Shout()), store, told)
    assert [each.why for each in changed] == ["options.value 3 -> 8", "after number", "after parity"]


def test_a_plan_whose_wires_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="parity reads number.out, which nothing before it makes"):
        Plan("wrong", 0, (Node("parity", Parity(), {"number": ("number", "out")}),))


def test_a_port_that_is_wired_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="parity is wired to nothing at number"):
        Plan("wrong", 0, (Node("parity", Parity(), {}),))


class Newer(Record):
    """A length as a later version writes it."""

    letters: int
    digits: int = 0


class Even(Record):
    """A length; its schema does not say that it must be even."""

    letters: int

    @model_validator(mode="after")
    def _is_even(self) -> Self:
        if self.letters % 2:
            raise ValueError("odd")
        return self


def test_the_records_of_a_result_are_read_by_the_types_that_its_stage_names(store: Store) -> None:
    engine = Engine(store, Told())
    *_, last = engine.run(measured(Measure()), ALL)
    assert list(engine.records(last)) == [("length", Length(letters=3))]
    assert [list(engine.records(each)) for each in engine.finished[:2]] == [[], []]


def test_a_record_type_with_another_field_is_a_miss(store: Store, told: Told) -> None:
    run(store, measured(Measure()))
    assert run(store, measured(Measure())) == []
    rows = {row.node.id: row.why for row in forecast(measured(Measure(Newer)), store, told)}
    assert rows["measure"] == "records.length changed"
    assert run(store, measured(Measure(Newer))) == ["measure"]
    assert told.lines == []


def test_a_record_that_can_not_be_read_any_more_is_a_miss_with_a_warning(store: Store) -> None:
    run(store, measured(Measure()))
    told = Told()
    again = Engine(store, told).run(measured(Measure(Even, parts=2)), ALL)
    assert [each.why for each in again] == ["", "", "its result was damaged or removed"]
    warnings = [line for line in told.lines if line.startswith("warning")]
    assert warnings == [
        "warning: measure: length in the store is no Even as this version of edgekd knows it; doing it again"
    ]
    assert run(store, measured(Measure(Even, parts=2))) == []


def test_a_stage_that_writes_another_record_than_it_says_is_a_bug(store: Store) -> None:
    with pytest.raises(ValidationError):
        run(store, measured(Measure(Even)))
    assert run(store, measured(Measure())) == ["measure"], "nothing of it was kept"


def test_a_miss_is_explained_by_the_last_run_of_the_same_pipeline(store: Store, told: Told) -> None:
    def whys(value: int, *, name: str = "chain", origin: str = "") -> list[str]:
        plan = chain(Number(value), Parity(), Shout(), name=name, origin=origin)
        return [each.why for each in forecast(plan, store, told)]

    run(store, chain(Number(3), Parity(), Shout()))
    after = ["after number", "after parity"]
    assert whys(4) == ["options.value 3 -> 4", *after]
    assert whys(4, name="other") == ["never run", *after]
    assert whys(4, origin="elsewhere.yaml") == ["never run", *after]
    run(store, chain(Number(8), Parity(), Shout(), name="other"))
    assert whys(4) == ["options.value 3 -> 4", *after], "whatever other pipelines did meanwhile"
    assert whys(4, name="other") == ["options.value 8 -> 4", *after]
    run(store, chain(Number(8), Parity(), Shout()))
    assert whys(4) == ["options.value 8 -> 4", *after], "what came from the store was this pipeline's last result too"


def test_what_became_of_a_result_is_explained(store: Store, told: Told) -> None:
    plan = chain(Number(3), Parity(), Shout())
    run(store, plan)
    for path in (store.records_folder / "number").iterdir():
        path.unlink()
    assert forecast(plan, store, told)[0].why == "its result was damaged or removed"
    assert forecast(chain(Number(4), Parity(), Shout()), store, told)[0].why == "its last result was removed"


def test_a_lost_memory_of_the_last_run_costs_explanations_only(store: Store, told: Told) -> None:
    run(store, chain(Number(3), Parity(), Shout()))
    for path in store.last_folder.glob("*/*"):
        path.write_bytes(b"\xff\x00")
    assert run(store, chain(Number(3), Parity(), Shout())) == []
    (number,) = store.last_folder.glob("*/number")
    number.unlink()
    assert forecast(chain(Number(4), Parity(), Shout()), store, told)[0].why == "never run"
    number.mkdir()  # what cannot be written either
    assert run(store, chain(Number(4), Parity(), Shout())) == ["number", "parity", "shout"]
