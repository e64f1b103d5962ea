from __future__ import annotations

import pytest

from edgekd.report.text import duration


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
