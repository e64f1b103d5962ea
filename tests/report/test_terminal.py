from __future__ import annotations

import pytest

from edgekd.records.run import StageOutcome
from edgekd.report.terminal import time_spent
from edgekd.report.text import duration, ratio


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (21.4e-6, "21.4 µs"),
        (150e-6, "150 µs"),
        (999.9e-6, "1.00 ms"),
        (1.5e-3, "1.50 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.00 s"),
        (75.0, "75.0 s"),
        (1234.0, "1,234 s"),
    ],
)
def test_a_time_keeps_three_digits_in_the_unit_that_shows_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.50"), (9.557, "9.56"), (99.996, "100.0"), (148.34, "148.3"), (999.96, "1,000"), (12044.2, "12,044")],
)
def test_a_ratio_keeps_so_few_digits_that_three_of_them_with_intervals_fit_side_by_side(
    value: float, text: str
) -> None:
    assert ratio(value) == text


def outcome(name: str, seconds: float, state: str = "ran") -> StageOutcome:
    return StageOutcome.model_validate(
        {
            "id": name,
            "stage": name,
            "state": state,
            "why": "",
            "fingerprint": "",
            "headline": "",
            "warnings": (),
            "seconds": seconds,
            "outputs": {},
        }
    )


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([], ""),
        ([outcome("data", 0.4), outcome("release", 0.1)], ""),
        ([outcome("train@teacher", 700, "cached"), outcome("data", 0.4)], ""),
        ([outcome("data", 2.0)], "data 2.0 s"),
        (
            [outcome(name, seconds) for name, seconds in zip("abcdefg", (0.5, 61, 3, 2, 100, 1.5, 0.25), strict=True)],
            "e 1 min 40 s · b 1 min 1 s · c 3.0 s · d 2.0 s · 3 others 2.2 s",
        ),
        ([outcome("a", 5), outcome("b", 0.5)], "a 5.0 s · 1 other 0.5 s"),
    ],
)
def test_it_is_told_where_the_time_of_this_run_went(stages: list[StageOutcome], told: str) -> None:
    assert time_spent(stages) == told
