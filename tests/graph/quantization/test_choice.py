from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.graph.quantization.choice import choose
from edgekd.records.evaluation import Paired
from edgekd.records.latency import Comparison, Speed
from edgekd.records.screening import Cost, Screened, ScreeningRecord

MARGIN = 0.03


Compared = tuple[Screened, Comparison | None]


def comparison(model: str, baseline: str, ratio: float, interval: tuple[float, float] | None) -> Comparison:
    return Comparison(
        model=model, baseline=baseline, ratio=ratio, interval=interval, margin=MARGIN, outcome=Speed.SAME, pairs=20,
    )  # fmt: skip


def candidate(
    name: str,
    size: int,
    ratio: float = 1.0,
    interval: tuple[float, float] | None = (0.0, 0.0),
    *,
    drop: float = 0.0,
    refused: str = "",
    instructions: int | None = None,
    samples: int = 200,
) -> Compared:
    """A candidate and its comparison with the fp32 file; an interval of zeros stands for one of 0.1 % around."""
    pair = Paired(
        model=name, reference="fp32", both_right=90, only_reference_right=1, only_model_right=1, both_wrong=8,
        drop=drop, drop_interval=(drop - 0.01, drop + 0.01), p_value=1.0,
    )  # fmt: skip
    screened = Screened(
        name=name,
        size_bytes=size,
        session={"session.of": name},
        samples=0 if refused else samples,
        accuracy=None if refused else 0.9 - drop,
        against_fp32=None if refused or name == "fp32" else pair,
        p50_s=1e-5 * ratio,
        instructions=instructions,
        refused=refused,
    )
    if refused or name == "fp32":
        return screened, None
    around = (ratio * 0.999, ratio * 1.001) if interval == (0.0, 0.0) else interval
    return screened, comparison(name, "fp32", ratio, around)


def screening(*drawn: Compared, cost: Cost = "time", between: tuple[Comparison, ...] = ()) -> ScreeningRecord:
    """`between`: of candidates with each other; the others follow from their ratios to fp32."""
    told = [each for _, each in drawn if each is not None]
    given = {frozenset((each.model, each.baseline)) for each in between}
    derived = [
        comparison(a.model, b.model, a.ratio / b.ratio, (a.ratio / b.ratio * 0.999, a.ratio / b.ratio * 1.001))
        for a, b in itertools.combinations(told, 2)
        if frozenset((a.model, b.model)) not in given
    ]
    return ScreeningRecord(
        target="board", validation_samples=200, cost=cost, seconds=3.0, confidence=0.99,
        candidates=tuple(each for each, _ in drawn), comparisons=(*told, *derived, *between),
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
    name, _ = chosen(screening(candidate("fp32", 100), candidate("small", 50, 1.02, (0.98, 1.12))))
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


def test_where_no_candidate_is_left_nothing_ships_and_each_says_why() -> None:
    record = screening(candidate("fp32", 100), candidate("x", 10, drop=0.5))
    choice = choose(record, {"x"}, "latency", 0.003, MARGIN)
    assert "x: loses 50.00 points" in choice.unfit
    assert choice.chosen == "fp32", "what is looked at all the same"
    assert not any(each.ships for each in choice.candidates)


def test_candidates_are_compared_with_each_other_and_not_through_fp32() -> None:
    """Both intervals against fp32 overlap, and yet one of them takes 1.2 times as long as the other."""
    record = screening(
        candidate("fp32", 100),
        candidate("qdq", 60, 0.5, (0.42, 0.60)),
        candidate("qoperator", 50, 0.6, (0.50, 0.70)),
        between=(comparison("qoperator", "qdq", 1.2, (1.18, 1.22)),),
    )
    assert chosen(record)[0] == "qdq"
    assert chosen(record)[1]["qoperator"] == "takes 1.20 times the time of qdq"


def test_what_was_loaded_too_few_times_displaces_nobody() -> None:
    name, why = chosen(screening(candidate("fp32", 100), candidate("x", 10, 3.1, None)))
    assert (name, why["x"]) == ("fp32", "was loaded too few times to be compared")


@pytest.mark.parametrize(
    ("hurried", "objective"),
    [
        (candidate("x", 10, 3.1, None), "latency"),
        (candidate("x", 10, 0.5, samples=20), "latency"),
        (candidate("x", 10, 0.5, samples=20), "size"),
    ],
)
def test_nothing_is_called_the_best_where_time_was_too_short_to_compare(hurried: Compared, objective: str) -> None:
    fp32, slow = candidate("fp32", 100), candidate("y", 200, 1.5)
    best = "the fastest" if objective == "latency" else "the smallest"
    more = "1 more need a longer measure.screen_seconds (--seconds)"
    for others, told in ((slow,), best), ((), "nothing else could be compared with it"):
        assert chosen(screening(fp32, hurried, *others), objective=objective)[1]["fp32"] == f"{told}; {more}"


def test_a_wide_interval_does_not_make_a_slow_file_as_fast() -> None:
    assert chosen(screening(candidate("fp32", 100), candidate("x", 10, 2.0, (0.9, 4.0))))[0] == "fp32"


def test_a_few_answers_say_nothing_about_accuracy() -> None:
    name, why = chosen(screening(candidate("fp32", 100), candidate("x", 10, samples=3)))
    assert (name, why["x"]) == ("fp32", "answered only 3 validation samples in its time")


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
    pairs = {each.name: record.comparison(each.name, "fp32") for each in record.candidates}
    times = {name: 1.0 if pair is None else pair.ratio for name, pair in pairs.items()}
    for each in record.candidates:
        right = each.against_fp32 is None or each.against_fp32.drop <= 0.003
        assert not (right and each.size_bytes < winner.size_bytes and times[each.name] < times[winner.name])


def test_a_file_larger_than_the_target_allows_does_not_ship() -> None:
    record = screening(candidate("fp32", 9000), candidate("small", 1000, 1.5), candidate("fast", 5000, 0.5))
    names = {each.name for each in record.candidates}
    choice = choose(record, names, "latency", 0.003, MARGIN, max_bytes=4999)
    why = {each.name: each.why for each in choice.candidates}
    assert choice.chosen == "small"
    assert why["fast"] == "5,000 bytes, and the target allows 4,999"
    assert choose(record, names, "latency", 0.003, MARGIN, max_bytes=5000).chosen == "fast"
    assert choose(record, names, "latency", 0.003, MARGIN, max_bytes=999).unfit


def test_who_was_out_before_the_final_does_not_win_by_the_short_measurement() -> None:
    record = screening(candidate("fp32", 9000), candidate("out", 1000, 0.98), candidate("in", 2000, 1.0))
    names = {each.name for each in record.candidates}
    assert choose(record, names, "latency", 0.003, MARGIN).chosen == "out"
    final = record.model_copy(update={"finalists": ("fp32", "in")})
    choice = choose(final, names, "latency", 0.003, MARGIN)
    assert choice.chosen == "in"
    assert {each.name: each.why for each in choice.candidates}["out"].startswith("takes ")


def test_without_labels_it_is_the_answers_of_the_fp32_file_that_count() -> None:
    record = screening(candidate("fp32", 100), candidate("fast", 10, 0.5, drop=0.0031))
    agreement = record.model_copy(update={"judged_by": "fp32"})
    assert chosen(agreement)[1]["fast"] == "answers 0.31 % of the samples otherwise than fp32 (at most 0.30)"
