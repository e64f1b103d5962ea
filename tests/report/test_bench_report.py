from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgekd.records.latency import Percentile
from edgekd.report import bench


@pytest.mark.parametrize(
    ("value_s", "interval_s", "text"),
    [
        (15.36e-6, (15.2e-6, 15.5e-6), "15.4 µs [15.2, 15.5]"),
        (999.9e-6, (0.9e-3, 4.74e-3), "1.00 ms [0.900, 4.74]"),
        (632.4e-6, (0.631e-3, 4.74e-3), "632 µs [631, 4,740]"),
        (0.25, None, "250 ms"),
        (12.0, None, "12.0 s"),
    ],
)
def test_percentiles_read_with_one_unit(value_s: float, interval_s: tuple[float, float] | None, text: str) -> None:
    found = Percentile(share=0.9, value_s=value_s, interval_s=interval_s, method="loads")
    assert bench._percentile(found) == text


def test_a_percentile_that_the_sample_is_too_small_for_is_not_printed() -> None:
    assert bench._percentile(None) == "too few samples"


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (50, 3), (200, 1)])
def test_models_stand_side_by_side_as_many_as_fit(width: int, tables: int) -> None:
    stream = io.StringIO()
    names = ["first.onnx", "second.onnx", "third.onnx"]
    bench._print_columns(names, {"p50": ["1", "2", "3"]}, Console(file=stream, width=width))
    assert stream.getvalue().count("p50") == tables
    assert all(name in stream.getvalue() for name in names)
    assert max(map(len, stream.getvalue().splitlines())) <= width
