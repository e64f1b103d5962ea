"""Results on their way from one store to another."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.errors import StoreError
from edgekd.pipeline.engine import Engine, Selection
from edgekd.pipeline.store import Store
from edgekd.progress import Silent
from edgekd.records.stage import StageRecord
from edgekd.sweep.parcel import artifacts, receive
from tests.pipeline.stages import Number, Parity, Shout, chain


@pytest.fixture
def sent(tmp_path: Path) -> tuple[Store, list[StageRecord]]:
    store = Store(tmp_path / "sender")
    finished = Engine(store, Silent()).run(chain(Number(3), Parity(), Shout()), Selection())
    return store, [each.record for each in finished]


def contents(store: Store, records: list[StageRecord]) -> dict[str, bytes]:
    return {digest: store.path(each).read_bytes() for digest, each in artifacts(records).items()}


def test_what_arrives_is_found_as_if_it_had_been_made_there(
    tmp_path: Path, sent: tuple[Store, list[StageRecord]]
) -> None:
    sender, records = sent
    receiver = Store(tmp_path / "receiver")
    receive(records, contents(sender, records).__getitem__, receiver)
    again = Engine(receiver, Silent()).run(chain(Number(3), Parity(), Shout()), Selection())
    assert [each.record.outputs for each in again] == [each.outputs for each in records]
    assert not any(each.why for each in again)


def test_what_is_there_already_is_not_asked_for(sent: tuple[Store, list[StageRecord]]) -> None:
    def never(digest: str) -> bytes:
        raise AssertionError(digest)

    sender, records = sent
    receive(records, never, sender)


def test_a_file_that_changed_on_its_way_is_refused(tmp_path: Path, sent: tuple[Store, list[StageRecord]]) -> None:
    _, records = sent
    receiver = Store(tmp_path / "receiver")
    with pytest.raises(StoreError, match="otherwise than it was sent"):
        receive(records, lambda _: b"something else", receiver)
    assert not list(receiver.records_folder.glob("*/*"))


def test_given_results_are_built_on_and_not_looked_at(tmp_path: Path, sent: tuple[Store, list[StageRecord]]) -> None:
    sender, records = sent
    receiver = Store(tmp_path / "receiver")
    receive(records[:1], contents(sender, records).__getitem__, receiver)
    ran: list[str] = []
    plan = chain(Number(3, ran), Parity(), Shout())
    engine = Engine(receiver, Silent(), given={plan.nodes[0].id: records[0]})
    finished = engine.run(plan, Selection())
    assert [each.node.id for each in finished] == [each.id for each in plan.nodes[1:]]
    assert finished[-1].record.outputs == records[-1].outputs
    assert not ran
