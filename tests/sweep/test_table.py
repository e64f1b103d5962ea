"""Rows that are compared."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t

from edgekd.records.sweep import SweepRecord, SweepRow, SweepTrial, TrialShipped
from edgekd.report.sweep import sweep_csv
from edgekd.sweep.table import compared, holm


def row(
    *accuracies: float | None,
    width: int = 4,
    shipped: float | None = 0.5,
    size: int = 100,
    parameters: int = 10,
    first_seed: int = 0,
) -> SweepRow:
    """shipped: the accuracy of what ships; None where nothing does."""
    return SweepRow(
        setting={"student.model.width": width},
        trials=tuple(
            SweepTrial(seed=first_seed + seed, failed="it did not converge")
            if accuracy is None
            else SweepTrial(
                seed=first_seed + seed,
                validation_correct=round(1000 * accuracy),
                validation_total=1000,
                parameters=parameters,
                shipped={}
                if shipped is None
                else {
                    "here": TrialShipped(
                        candidate="fp32", size_bytes=size, validation_accuracy=shipped, test_accuracy=0.25
                    )
                },
            )
            for seed, accuracy in enumerate(accuracies)
        ),
    )


def record(*rows: SweepRow) -> SweepRecord:
    return SweepRecord(
        name="small",
        pipeline="p.yaml",
        assignments=(),
        keys=("student.model.width",),
        sampler="grid",
        seeds=(0, 1, 2),
        until="validate",
        targets=("here",),
        rows=compared(rows, ["here"]),
    )


def ordered(*rows: SweepRow) -> tuple[SweepRow, ...]:
    """As they stand, not compared."""
    return record(*rows).model_copy(update={"rows": rows}).ordered


def test_each_row_is_ahead_of_the_first_by_the_mean_of_the_differences_of_equal_seeds() -> None:
    _, second = compared([row(0.90, 0.92, 0.94), row(0.93, 0.94, 0.99)], ["here"])
    differences = [0.03, 0.02, 0.05]
    mean, std = statistics.mean(differences), statistics.stdev(differences)
    half = float(t.ppf(0.975, 2)) * std / math.sqrt(3)
    assert second.gain is not None
    assert second.gain.mean == pytest.approx(mean)
    assert second.gain.interval == pytest.approx((mean - half, mean + half))
    assert second.shipped_gain["here"].mean == 0


def test_a_seed_that_failed_in_one_of_the_rows_is_left_out_of_the_comparison() -> None:
    _, second = compared([row(0.90, None, 0.94), row(0.93, 0.94, 0.99)], ["here"])
    assert second.gain is not None
    assert second.gain.mean == pytest.approx((0.03 + 0.05) / 2)


def test_one_seed_or_one_pair_says_nothing_of_noise() -> None:
    assert compared([row(0.90), row(0.93)], ["here"])[1].gain is None
    assert compared([row(0.90, None), row(0.93, 0.95)], ["here"])[1].gain is None


def test_the_best_is_chosen_on_validation_samples_among_those_that_were_finished() -> None:
    found = record(row(0.90, 0.90, 0.90), row(0.99, 0.99, None, width=5), row(0.91, 0.91, 0.91, width=6))
    assert found.best is found.rows[2]


def test_where_students_are_equal_what_ships_decides() -> None:
    found = record(row(0.9, 0.9), row(0.9, 0.9, shipped=0.6, width=5), row(0.9, 0.9, shipped=0.4, width=6))
    assert found.best is found.rows[1]


def test_of_equals_the_smallest_that_ships_is_best_then_the_smallest_student_then_the_first() -> None:
    first, smaller, again = row(0.9, 0.9, size=300), row(0.9, 0.9, size=200), row(0.9, 0.9, size=300)
    assert [id(each) for each in ordered(first, again, smaller)] == [id(each) for each in (smaller, first, again)]
    large, small = (row(0.9, 0.9, shipped=None, parameters=each) for each in (20, 10))
    assert [id(each) for each in ordered(large, small)] == [id(each) for each in (small, large)]


def test_rows_are_equal_whose_seeds_are_right_as_often_together() -> None:
    """The mean of 0.937 and 0.941 is 0.9390000000000001 in floating point, that of 0.939 and 0.939 is not."""
    spread, same = row(0.937, 0.941, size=200), row(0.939, 0.939)
    assert ordered(spread, same)[0] is same


def test_those_that_came_to_no_end_are_last_and_the_best_is_the_first_row() -> None:
    found = record(row(0.9, 0.9), row(None, 0.99), row(0.9, 0.9, shipped=0.6), row(0.95, 0.8), row(None, None))
    assert [found.rows.index(each) for each in found.ordered] == [2, 0, 3, 1, 4]
    assert found.best is found.ordered[0]


def test_nothing_is_best_where_nothing_came_to_an_end() -> None:
    assert record(row(None, None), row(None, 0.9)).best is None


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_rejects_what_its_adjusted_p_values_reject(p_values: list[float]) -> None:
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, position in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        largest = max(largest, (len(p_values) - place) * p_values[position])
        adjusted[position] = largest
    clear = [abs(each - 0.05) > 1e-9 for each in adjusted]
    found = holm(p_values)
    assert all(is_real == (each <= 0.05) for is_real, each, sure in zip(found, adjusted, clear, strict=True) if sure)


def test_the_csv_has_a_line_a_setting_and_says_why_one_failed() -> None:
    lines = sweep_csv(record(row(0.9, 0.92, 0.94), row(0.93, None, 0.99, width=5))).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("student.model.width,seeds,accuracy_mean,accuracy_std,ahead")
    assert lines[1].startswith("4,3,0.92,")
    assert lines[2].endswith("it did not converge")
