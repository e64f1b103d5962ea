from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.errors import StageError
from edgekd.graph.quantization.choice import choose
from edgekd.records.evaluation import Paired
from edgekd.records.latency import Comparison, Speed
from edgekd.records.screening import Cost, Screened, ScreeningRecord

MARGIN = 0.03


def candidate(
    name: str,
    size: int,
    ratio: float = 1.0,
    interval: tuple[float, float] | None = None,
    *,
    drop: float = 0.0,
    refused: str = "",
    instructions: int | None = None,
) -> Screened:
    comparison = Comparison(
        model=name,
        baseline="fp32",
        ratio=ratio,
        interval=interval or (ratio * 0.999, ratio * 1.001),
        margin=MARGIN,
        outcome=Speed.SAME,
        pairs=20,
    )
    pair = Paired(
        model=name, reference="fp32", both_right=90, only_reference_right=1, only_model_right=1, both_wrong=8,
        drop=drop, drop_interval=(drop - 0.01, drop + 0.01), p_value=1.0,
    )  # fmt: skip
    return Screened(
        name=name,
        size_bytes=size,
        session={"session.of": name},
        accuracy=None if refused else 0.9 - drop,
        against_fp32=None if refused or name == "fp32" else pair,
        p50_s=1e-5 * ratio,
        comparison=None if refused or name == "fp32" else comparison,
        instructions=instructions,
        refused=refused,
    )


def screening(*candidates: Screened, cost: Cost = "time") -> ScreeningRecord:
    return ScreeningRecord(
        target="board", samples=100, validation_samples=200, cost=cost, seconds=3.0, confidence=0.99,
        candidates=candidates,
    )  # fmt: skip


def chosen(record: ScreeningRecord, **changes: Any) -> tuple[str, dict[str, str]]:
    options = {"allowed": {each.name for each in record.candidates}, "objective": "latency", "max_accuracy_drop": 0.003}
    choice = choose(record, margin=MARGIN, **{**options, **changes})
    return choice.chosen, {each.name: each.why for each in choice.candidates}


def test_the_fastest_ships_and_the_slow_ones_say_by_how_much() -> None:
    name, why = chosen(screening(candidate("fp32", 37_662), candidate("int8_qdq", 13_086, 1.24)))
    assert name == "fp32"
    assert why["int8_qdq"] == "takes 1.24 times the time of fp32"


def test_of_files_that_are_as_fast_the_smallest_ships_with_its_own_session_options() -> None:
    record = screening(candidate("fp32", 37_662), candidate("int8_weights", 11_288, 1.005, (1.002, 1.009)))
    choice = choose(record, {"fp32", "int8_weights"}, "latency", 0.003, MARGIN)
    assert choice.chosen == "int8_weights"
    assert choice.session == {"session.of": "int8_weights"}
    assert {each.name: each.ships for each in choice.candidates} == {"fp32": False, "int8_weights": True}


def test_a_file_whose_time_cannot_be_told_from_the_best_counts_as_fast() -> None:
    name, _ = chosen(screening(candidate("fp32", 100), candidate("small", 50, 1.05, (0.98, 1.12))))
    assert name == "small"


def test_a_file_that_may_be_slower_than_the_margin_is_no_tie() -> None:
    name, _ = chosen(screening(candidate("fp32", 100), candidate("small", 50, 1.029, (1.02, 1.04))))
    assert name == "fp32"


def test_accuracy_comes_before_speed() -> None:
    record = screening(candidate("fp32", 100), candidate("fast", 10, 0.5, drop=0.0031))
    assert chosen(record)[0] == "fp32"
    assert chosen(record)[1]["fast"] == "loses 0.31 points of accuracy (at most 0.30)"
    assert chosen(record, max_accuracy_drop=0.01)[0] == "fast"


def test_what_the_target_refuses_loses_with_its_reason() -> None:
    name, why = chosen(screening(candidate("fp32", 100), candidate("x", 10, refused="no kernel")))
    assert (name, why["x"]) == ("fp32", "no kernel")


def test_what_was_not_asked_for_is_only_compared_with() -> None:
    name, why = chosen(screening(candidate("fp32", 100), candidate("x", 90, 1.5)), allowed={"x"})
    assert (name, why["fp32"]) == ("x", "not asked for in quantize.candidates")


def test_no_candidate_left_is_an_error_that_names_each_reason() -> None:
    record = screening(candidate("fp32", 100), candidate("x", 10, drop=0.5))
    with pytest.raises(StageError, match=r"x loses 50.00 points") as caught:
        chosen(record, allowed={"x"})
    assert caught.value.hint


def test_by_size_the_smallest_ships_however_slow() -> None:
    assert chosen(screening(candidate("fp32", 100), candidate("x", 10, 3.0)), objective="size")[0] == "x"


def test_an_emulated_target_is_decided_by_counted_instructions() -> None:
    record = screening(
        candidate("fp32", 100, instructions=235_000),
        candidate("int8_qdq", 60, 9.0, instructions=205_000),
        candidate("int8_weights", 50, 0.1, instructions=234_000),
        cost="instructions",
    )
    name, why = chosen(record)
    assert name == "int8_qdq"
    assert why["fp32"] == "takes 1.15 times the instructions of int8_qdq"


def test_without_any_cost_the_smallest_ships_and_says_why() -> None:
    name, why = chosen(screening(candidate("fp32", 100), candidate("x", 10, 3.0), cost="none"))
    assert name == "x"
    assert "times on board mean nothing" in why["x"]


@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.floats(0.2, 5.0), st.floats(0.0, 0.2), st.floats(-0.02, 0.02)),
        min_size=1,
        max_size=6,
    )
)
def test_the_choice_is_never_worse_in_both_size_and_time_than_another_that_is_right(
    drawn: list[tuple[int, float, float, float]],
) -> None:
    others = [
        candidate(f"c{n}", size, ratio, (ratio * (1 - width), ratio * (1 + width)), drop=drop)
        for n, (size, ratio, width, drop) in enumerate(drawn)
    ]
    record = screening(candidate("fp32", 500), *others)
    choice = choose(record, {each.name for each in record.candidates}, "latency", 0.003, MARGIN)
    winner = record.candidate(choice.chosen)
    assert winner.against_fp32 is None or winner.against_fp32.drop <= 0.003
    time = winner.comparison.ratio if winner.comparison else 1.0
    for each in record.candidates:
        right = each.against_fp32 is None or each.against_fp32.drop <= 0.003
        other = each.comparison.ratio if each.comparison else 1.0
        assert not (right and each.size_bytes < winner.size_bytes and other < time)
