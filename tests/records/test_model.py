from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgekd.records.model import Execution


def runs(in_file: int = 0, uncounted: Mapping[str, int] = {}, **macs: int) -> Execution:
    return Execution(
        operators={}, float_operators={}, macs=macs, uncounted=dict(uncounted), macs_of_file={"float32": in_file}
    )


@pytest.mark.parametrize(
    ("execution", "share", "said"),
    [
        (Execution(operators={"Erf": 1}, float_operators={}), None, ""),  # a record of before it was kept
        (runs(float32=1000), 0.0, "float32 1,000 MACs"),
        (runs(in_file=1000, int8=1000), 1.0, "int8 100 % of 1,000 MACs"),
        (runs(int8=987, float32=13), 0.987, "int8 98.7 % of 1,000 MACs, float32 the rest"),
        (runs(int8=99_999, float32=1), 0.99999, "int8 99.9 % of 100,000 MACs, float32 the rest"),
        (runs(int8=1, float32=99_999), 0.00001, "int8 0.1 % of 100,000 MACs, float32 the rest"),
        (runs(int8=50, float16=20, float32=30), 0.5, "int8 50.0 % of 100 MACs, float32 30.0 %, float16 20.0 %"),
        (runs(in_file=800, float32=1000), 0.0, "float32 1,000 MACs (800 in the file)"),
        (runs(uncounted={"LSTM": 2}, int8=10), 1.0, "int8 100 % of 10 MACs, without those of 2 LSTM"),
    ],
)
def test_what_a_file_computes_in_is_never_rounded_to_all_or_nothing(
    execution: Execution, share: float | None, said: str
) -> None:
    assert execution.int8_share == share
    assert execution.arithmetic == said
