from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgekd.training.execution import Execution
from edgekd.training.workers import ALONE, Workers


@given(st.integers(1, 9), st.integers(0, 200))
def test_slices_hold_every_row_once_in_order_and_nearly_equally_many(shards: int, count: int) -> None:
    slices = Workers(Execution(shards=shards)).slices(count)
    assert [row for each in slices for row in range(count)[each]] == list(range(count))
    lengths = [each.stop - each.start for each in slices]
    assert len(lengths) == shards
    assert max(lengths) - min(lengths) <= 1


def test_each_shard_has_a_thread_of_its_own_and_the_first_is_the_callers() -> None:
    meeting = threading.Barrier(3, timeout=30)  # passed only when all three run at once

    def part(shard: int) -> tuple[int, int]:
        meeting.wait()
        return shard, threading.get_ident()

    with Workers(Execution(shards=3)) as workers:
        found = workers.each(part)
    assert [shard for shard, _ in found] == [0, 1, 2]
    assert len({thread for _, thread in found}) == 3
    assert found[0][1] == threading.get_ident()


def test_every_thread_computes_with_the_executions_threads_and_the_number_comes_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with Workers(Execution(shards=2, threads=1)) as workers:
            assert workers.each(lambda _shard: torch.get_num_threads()) == [1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_of_any_shard_comes_when_all_have_ended(bad: int) -> None:
    ended = []

    def part(shard: int) -> None:
        if shard == bad:
            raise ValueError(f"shard {shard}")
        ended.append(shard)

    with Workers(Execution(shards=3)) as workers, pytest.raises(ValueError, match=f"shard {bad}"):
        workers.each(part)
    assert sorted(ended) == [shard for shard in range(3) if shard != bad]


def test_one_shard_needs_no_thread() -> None:
    assert ALONE.each(lambda shard: (shard, threading.get_ident())) == [(0, threading.get_ident())]


def test_a_spare_thread_begins_at_once_and_each_does_without_it() -> None:
    begun, mine = threading.Event(), threading.get_ident()

    def part(shard: int) -> tuple[int, int]:
        begun.set()
        return shard, threading.get_ident()

    with Workers(Execution()) as workers:
        assert workers.spare
        results = workers.begun(part)
        assert begun.wait(30)
        assert workers.each(part) == [(0, mine)]
        [(shard, thread)] = results()
    assert shard == 0
    assert thread != mine


@pytest.mark.parametrize(
    "execution", [Execution(shards=2), Execution(threads=2), Execution(device="cuda")], ids=["shards", "threads", "gpu"]
)
def test_without_a_spare_thread_nothing_begins_before_it_is_asked_for(execution: Execution) -> None:
    done = []

    def part(shard: int) -> int:
        done.append(shard)
        return shard

    workers = Workers(execution)
    assert not workers.spare
    results = workers.begun(part)
    assert not done
    with workers:
        assert results() == list(range(execution.shards))


def test_an_error_of_the_spare_thread_comes_with_its_results() -> None:
    def part(_shard: int) -> None:
        raise ValueError("no such sample")

    with Workers(Execution()) as workers:
        results = workers.begun(part)
        with pytest.raises(ValueError, match="no such sample"):
            results()


def test_reduced_precision_is_each_threads_own() -> None:
    def product(_shard: int) -> torch.dtype:
        with workers.arithmetic():
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype

    with Workers(Execution(precision="bfloat16", shards=2)) as workers:
        assert workers.each(product) == [torch.bfloat16, torch.bfloat16]
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
